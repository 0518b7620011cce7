// Labels good and bad of pairs of products. They stay in this browser until they are downloaded.
import { h, number, save } from './dom.js';
import { link } from './state.js';

const STORE = 'twinvec.labels';

function all() {
  try { return JSON.parse(localStorage.getItem(STORE)) ?? {}; } catch { return {}; }
}

export const labelOf = (source, target) => all()[source]?.[target] ?? 0;

export function label(source, target, value) {
  const labels = all();
  labels[source] ??= {};
  if (value) labels[source][target] = value; else delete labels[source][target];
  if (!Object.keys(labels[source]).length) delete labels[source];
  localStorage.setItem(STORE, JSON.stringify(labels));
}

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

// What `twinvec evaluate --edges` reads: the columns source and target.
export function edges(value) {
  const rows = Object.entries(all()).flatMap(([source, targets]) => Object.entries(targets)
    .filter(([, each]) => each === value).map(([target]) => `${quoted(source)},${quoted(target)}`));
  return { count: rows.length, text: ['source,target', ...rows, ''].join('\n') };
}

export function buttons(source, target, changed = () => {}) {
  const make = (value, name, sign) => h('button', { type: 'button', className: name, title: `${name} for this product`,
    'aria-label': `${name}: ${target}`, 'aria-pressed': String(labelOf(source, target) === value),
    onclick: () => {
      label(source, target, labelOf(source, target) === value ? 0 : value);
      refresh();
      changed();
    } }, sign);
  const group = h('span', { className: 'marks' }, make(1, 'good', '✓'), make(-1, 'bad', '✗'));
  function refresh() {
    const [good, bad] = group.children;
    good.setAttribute('aria-pressed', labelOf(source, target) === 1);
    bad.setAttribute('aria-pressed', labelOf(source, target) === -1);
  }
  group.refresh = refresh;
  return group;
}

export function show(panel) {
  const good = edges(1);
  const bad = edges(-1);
  const sources = Object.entries(all());
  if (!sources.length) {
    panel.replaceChildren(h('h2', {}, 'Labels'), h('p', {}, 'There are no labels yet.'),
      h('p', { className: 'faint' }, 'Open a product and mark its related products with ✓ or ✗, or with the keys g and b.'));
    return;
  }
  panel.replaceChildren(h('h2', {}, 'Labels'),
    h('p', {}, `${number(good.count)} good and ${number(bad.count)} bad, of ${number(sources.length)} products. They are in this browser only.`),
    h('div', { className: 'row' },
      h('button', { type: 'button', id: 'good', disabled: !good.count, onclick: () => save('good.csv', good.text) }, 'Download good edges'),
      h('button', { type: 'button', id: 'bad', disabled: !bad.count, onclick: () => save('bad.csv', bad.text) }, 'Download bad edges'),
      h('button', { type: 'button', onclick: () => {
        if (window.confirm('Remove all labels of this browser?')) { localStorage.removeItem(STORE); show(panel); }
      } }, 'Remove all')),
    h('p', { className: 'faint' }, h('code', {}, 'twinvec evaluate related --edges good.csv'), ' ranks the good ones.'),
    h('div', { className: 'scroll' }, h('table', {}, h('thead', {}, h('tr', {}, ['product', 'good', 'bad'].map((name, at) => h('th', { className: at ? 'n' : '' }, name)))),
      h('tbody', {}, sources.map(([source, targets]) => {
        const values = Object.values(targets);
        return h('tr', {}, h('td', {}, h('a', { href: link({ view: 'product', product: source }) }, source)),
          h('td', { className: 'n' }, values.filter((value) => value === 1).length), h('td', { className: 'n' }, values.filter((value) => value === -1).length));
      })))));
}
