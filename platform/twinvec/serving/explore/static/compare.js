// Two releases beside each other.
import * as api from './api.js';
import { h, number, problem } from './dom.js';
import { link, state } from './state.js';

let asked = 0;

const percent = (share) => (share === null ? '–' : `${number(100 * share, 1)} %`);
const day = (text) => (text ? text.slice(0, 16).replace('T', ' ') : 'never');

function table(head, rows, numbersFrom = 1) {
  const cell = (tag, value, at) => h(tag, { className: at >= numbersFrom ? 'n' : '' }, value);
  return h('div', { className: 'scroll' }, h('table', {}, h('thead', {}, h('tr', {}, head.map((name, at) => cell('th', name, at)))),
    h('tbody', {}, rows.map((row) => h('tr', {}, row.map((value, at) => cell('td', value, at)))))));
}

function about(sides) {
  const names = sides.map((side) => side.release.label);
  const row = (name, of) => [name, ...sides.map(of)];
  return table(['', ...names], [
    row('state', (side) => side.release.state), row('version', (side) => side.release.version),
    row('lists', (side) => side.release.lists ?? 'none'), row('snapshot', (side) => side.release.snapshot),
    row('products', (side) => number(side.release.products)), row('made', (side) => day(side.release.created_at)),
    row('promoted', (side) => day(side.release.promoted_at))]);
}

function figures(sides) {
  const names = [...new Set(sides.flatMap((side) => Object.keys(side.metrics)))].sort();
  if (!names.length) return h('p', { className: 'faint' }, 'No figures were recorded with these versions.');
  const [one, other] = sides.map((side) => side.metrics);
  return table(['figure', ...sides.map((side) => side.release.name), 'difference'], names.map((name) => [name,
    number(one[name]), number(other[name]), name in one && name in other ? number(one[name] - other[name]) : '–']));
}

function gates(side) {
  const { name } = side.release;
  if (!side.gates) return h('p', { className: 'faint' }, `${name} was never compared with a live release.`);
  const verdict = { true: 'passed', false: 'failed', null: 'shown' };
  return h('div', {}, h('p', {}, `${name} ${side.gates.live ? `beside ${side.gates.live}` : 'with none live'}${side.gates.forced ? ', forced' : ''}. ${side.gates.remark ?? ''}`),
    table(['figure', 'new', 'live', 'at least', 'at most', ''], side.gates.figures.map((gate) => [gate.figure, number(gate.new),
      number(gate.live), number(gate.least), number(gate.most), verdict[gate.passed]])));
}

function runs(side) {
  return h('ul', {}, side.runs.map((run) => h('li', {}, `${run.version}: `,
    run.page ? h('a', { href: run.page, rel: 'noreferrer', target: '_blank' }, run.run) : h('code', {}, run.run))));
}

function drawn(found) {
  if (!found.length) return h('p', { className: 'faint' }, 'There are none. `twinvec drift NEW OLD` draws what changed, `twinvec plot` maps.');
  return h('div', { className: 'pictures' }, found.map((each) => {
    const picture = h('img', { alt: each.what });
    api.picture(api.path('/explore/api/picture', { run: each.run, name: each.name }))
      .then((source) => { picture.src = source; }).catch((error) => picture.replaceWith(problem(error)));
    return h('figure', {}, picture, h('figcaption', {}, each.what));
  }));
}

export async function show(panel, releases) {
  const turn = (asked += 1);
  const { release, other } = state();
  if (!other) {
    panel.replaceChildren(h('h2', {}, 'Compare releases'), releases.length < 2
      ? h('p', {}, 'There is one release only. `twinvec run --force` or `twinvec publish` makes another.')
      : h('p', {}, 'Choose a release beside the first one, at the top of the page.'));
    return;
  }
  panel.setAttribute('aria-busy', 'true');
  panel.replaceChildren(h('h2', {}, 'Compare releases'), h('p', {}, 'The lists of both are being compared …'));
  try {
    const told = await api.json('/explore/api/compare', { release, other });
    if (turn !== asked) return;
    const [one, two] = told.sides;
    const changed = told.remark
      ? h('p', {}, `The lists were not compared: ${told.remark}.`)
      : h('p', {}, h('strong', { id: 'changed' }, percent(told.changed_lists)), ` of the lists of ten have another product in them; on average `,
        h('strong', {}, percent(told.changed_items)), ` of a list is new. ${number(told.asked)} products were asked.`);
    panel.replaceChildren(h('h2', {}, `${one.release.label} beside ${two.release.label}`), changed, about(told.sides),
      h('h3', {}, 'Lists that changed most'),
      told.most.length ? table(['product', 'new'], told.most.map((each) => [
        h('a', { href: link({ view: 'product', product: each.product_id }) }, each.title ?? each.product_id), percent(each.share)]))
        : h('p', { className: 'faint' }, 'None changed.'),
      h('h3', {}, 'Figures'), figures(told.sides), h('h3', {}, 'Gates'), gates(one), gates(two),
      h('h3', {}, 'Pictures'), drawn(told.pictures), h('h3', {}, 'Runs in MLflow'),
      h('div', { className: 'sides' }, told.sides.map((side) => h('div', {}, h('p', {}, side.release.label), runs(side)))));
    document.body.dataset.compared = `${one.release.name} ${two.release.name}`;
  } catch (error) {
    if (turn === asked) panel.replaceChildren(h('h2', {}, 'Compare releases'), problem(error));
  }
  panel.removeAttribute('aria-busy');
}
