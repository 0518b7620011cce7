// One product: what it is, its related products and why, its edges, and the same in another release.
import * as api from './api.js';
import { h, number, problem } from './dom.js';
import { buttons, label } from './labels.js';
import * as map from './map.js';
import { go, link, state } from './state.js';

const SHADES = map.COLOURS;
let asked = 0;

const related = (id, release, more = {}) => api.json(`/related/${encodeURIComponent(id)}`,
  { release, k: state().k, marketplace: state().all ? '*' : null, ...more });

const rowsOf = async (release, ids) => (ids.length
  ? (await api.json('/explore/api/rows', { release, id: ids }).catch(() => ({ rows: ids.map(() => null) }))).rows : []);

// Answers of the last seconds, asked when the pointer came near: a click on what it is over waits for nothing.
const FRESH = 10000;
const ahead = new Map();

function answersOf(id) {
  const { release, k, all } = state();
  const key = JSON.stringify([id, release, k, all]);
  const kept = ahead.get(key);
  if (kept && performance.now() - kept.at < FRESH) return kept.answers;
  const answers = Promise.all([api.json(api.product(id), { release }), related(id, release)]);
  answers.catch(() => ahead.delete(key));
  if (ahead.size >= 50) ahead.clear();
  ahead.set(key, { at: performance.now(), answers });
  return answers;
}

export function prepare(id) { answersOf(id).catch(() => {}); }

export const titleOf = (product) => product.title ?? product.product_id ?? 'a new product';

export function hitOf(hit, place, source, release, moved = null) {
  const id = hit.product.product_id;
  const thumb = hit.product.image ? api.image(h('img', { className: 'thumb', alt: '' }), id, release) : null;
  const facts = [hit.product.category.at(-1), hit.product.price === null ? null
    : `${number(hit.product.price, 2)} ${hit.product.currency ?? ''}`, hit.product.marketplace].filter(Boolean).join(' · ');
  const line = h('li', { className: 'hit', tabIndex: -1 },
    h('span', { className: 'place' }, place), h('span', { className: 'thumb', hidden: !thumb }, thumb),
    h('div', {}, h('a', { href: link({ product: id, view: 'product', lasso: null }) }, titleOf(hit.product)), ' ', moved,
      h('div', { className: 'faint' }, facts), h('div', { className: 'faint' },
        hit.score === null ? (hit.pinned ? 'pinned' : 'popular') : `score ${number(hit.score, 3)}${hit.listed ? '' : ', by vectors'}`),
      h('div', { className: 'reasons' })),
    source ? buttons(source, id) : null);
  if (!thumb) line.querySelector('.thumb').hidden = false;
  line.dataset.id = id;
  return line;
}

// Places of the hits of one release in another: how far each moved.
function movement(hits, others) {
  const before = new Map(others.map((hit, at) => [hit.product.product_id, at]));
  return hits.map((hit, at) => {
    const old = before.get(hit.product.product_id);
    if (old === undefined) return ['new', 'new'];
    if (old === at) return ['', '='];
    return old > at ? ['up', `↑${old - at}`] : ['down', `↓${at - old}`];
  });
}

const shade = (value, at) => (value < 0 ? 'var(--bad)' : SHADES[at]);

function reasonsOf(reasons) {
  const all = Object.entries(reasons);
  const total = all.reduce((sum, [, value]) => sum + Math.abs(value), 0) || 1;
  const shown = all.slice(0, 4);
  return [h('div', { className: 'why', 'aria-hidden': 'true' }, shown.map(([, value], at) => h('span',
    { style: `width:${(100 * Math.abs(value)) / total}%;background:${shade(value, at)}` }))),
  h('div', { className: 'whytext' }, shown.map(([name, value], at) => h('span', {}, h('i', { style: `background:${shade(value, at)}` }),
    `${name} ${value < 0 ? '−' : '+'}${number(Math.abs(value), 2)} `)))];
}

async function explain(id, list, note) {
  try {
    const answer = await related(id, state().release, { explain: true });
    const reasons = new Map(answer.hits.map((hit) => [hit.product.product_id, hit.reasons]));
    let told = 0;
    for (const line of list.children) {
      const each = reasons.get(line.dataset.id);
      if (each) { line.querySelector('.reasons').replaceChildren(...reasonsOf(each)); told += 1; }
    }
    note.textContent = told ? '' : 'These products came by the vectors; there is nothing more to tell.';
  } catch (error) {
    note.textContent = `No reasons: ${error.message}. ${error.hint ?? ''}`;
  }
}

function facts(detail) {
  const titles = Object.entries(detail.titles);
  const rows = [['id', detail.product_id], ['category', detail.category.join(' › ') || 'none'],
    ['price', detail.price === null ? 'none' : `${number(detail.price, 2)} ${detail.currency ?? ''}`],
    ['marketplace', detail.marketplace], ['brand', detail.brand ?? 'none'],
    ['bought together', detail.cold ? 'never: cold start' : detail.popularity === null ? 'unknown' : `${number(detail.popularity)} times`],
    ...titles.slice(1).map(([language, title]) => [`title (${language})`, title])];
  return h('table', {}, h('tbody', {}, rows.map(([name, value]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, value)))));
}

function tiesOf(detail) {
  const kinds = [...new Set(detail.ties.map((tie) => tie.kind))];
  if (!kinds.length) return [h('p', { className: 'faint' }, 'It has no edges: nobody bought or viewed it together with another product.')];
  return kinds.map((kind) => h('details', { open: kind !== 'viewed' }, h('summary', {}, `${kind} (${detail.ties.filter((tie) => tie.kind === kind).length})`),
    h('ul', {}, detail.ties.filter((tie) => tie.kind === kind).map((tie) => h('li', {},
      h('a', { href: link({ product: tie.product_id, lasso: null }) }, tie.title ?? tie.product_id), ` × ${number(tie.count)}`)))));
}

function bar(id, list) {
  const set = (value) => {
    for (const line of list.children) { label(id, line.dataset.id, value); line.querySelector('.marks').refresh(); }
  };
  const { k, why, all } = state();
  return h('div', { className: 'row' },
    h('label', {}, 'Show ', h('select', { onchange: (event) => go({ k: event.target.value }) },
      ['10', '20', '50'].map((each) => h('option', { value: each, selected: each === k }, each)))),
    h('label', {}, h('input', { type: 'checkbox', checked: why === '1', onchange: (event) => go({ why: event.target.checked ? '1' : '0' }) }), ' why'),
    h('label', {}, h('input', { type: 'checkbox', checked: Boolean(all), onchange: (event) => go({ all: event.target.checked ? '1' : null }) }), ' all marketplaces'),
    h('span', { className: 'row' }, 'whole list ', h('button', { type: 'button', onclick: () => set(1) }, 'good'),
      h('button', { type: 'button', onclick: () => set(-1) }, 'bad')));
}

export async function show(panel, releases) {
  const started = performance.now();
  const turn = (asked += 1);
  const { product: id, release, other, why } = state();
  panel.setAttribute('aria-busy', 'true');
  const list = h('ol', { className: 'hits', id: 'hits' });
  const note = h('p', { className: 'faint' });
  const edges = h('div', {});
  const second = h('div', {});
  const similar = h('div', { id: 'similar' });
  const head = h('div', {});
  try {
    const [detail, answer] = await answersOf(id);
    if (turn !== asked) return;
    const title = Object.values(detail.titles)[0] ?? detail.product_id;
    const picture = detail.image ? api.image(h('img', { alt: title }), id, release) : null;
    head.append(h('div', { className: 'head' }, picture, h('div', {}, h('h2', {}, title),
      detail.image ? null : h('p', { className: 'faint' }, 'The catalogue has no image of it.'))), facts(detail));
    list.append(...answer.hits.map((hit, at) => hitOf(hit, at + 1, id, release)));
    if (!answer.hits.length) note.textContent = 'Nothing is related to it here. Try all marketplaces.';
    edges.append(...tiesOf(detail));
    panel.replaceChildren(head, h('h3', {}, `Related products in ${answer.release.replace('__', '@')}`), bar(id, list), note,
      other ? second : list, similar, h('h3', {}, 'Edges in the graph'), edges);
    panel.removeAttribute('aria-busy');
    performance.measure('twinvec: answer', { start: started, end: performance.now() });
    document.body.dataset.product = id;
    map.mark(detail.row);
    const rows = await rowsOf(release, answer.hits.map((hit) => hit.product.product_id));
    if (turn !== asked) return;
    [...list.children].forEach((line, at) => {
      line.addEventListener('mouseenter', () => map.hint(rows[at]));
      line.addEventListener('focusin', () => map.hint(rows[at]));
    });
    map.tie([...rows.map((row) => ({ from: detail.row, row, kind: 'related' })),
      ...detail.ties.map((tie) => ({ from: detail.row, row: tie.row, kind: tie.kind }))]);
    if (other) await beside(second, list, id, answer);
    await alike(similar, id, turn);
    const ranked = releases.find((each) => (release ? each.name === release : each.state === 'live'))?.lists;
    if (why === '1' && !ranked) note.textContent = 'No reasons: this release answers in the order of its vectors.';
    else if (why === '1' && answer.hits.length && turn === asked) await explain(id, list, note);
  } catch (error) {
    if (turn !== asked) return;
    panel.removeAttribute('aria-busy');
    map.mark(null);
    map.tie([]);
    panel.replaceChildren(h('h2', {}, id), problem(error));
    document.body.dataset.product = 'failed';
  }
}

async function beside(box, list, id, answer) {
  const { other, release } = state();
  try {
    const old = await related(id, other);
    const [here, there] = [movement(answer.hits, old.hits), movement(old.hits, answer.hits)];
    [...list.children].forEach((line, at) => line.querySelector('a').after(' ', h('span', { className: `moved ${here[at][0]}` }, here[at][1])));
    const gone = old.hits.map((hit, at) => hitOf(hit, at + 1, null, other, there[at][0] === 'new' ? h('span', { className: 'moved gone' }, 'gone') : null));
    const same = here.filter(([kind]) => kind !== 'new').length;
    box.replaceChildren(h('p', {}, `${same} of ${answer.hits.length} are in both; ${here.filter(([, text]) => text === '=').length} kept their place.`),
      h('div', { className: 'sides' }, h('div', {}, h('h3', {}, answer.release.replace('__', '@')), list),
        h('div', {}, h('h3', {}, old.release.replace('__', '@')), h('ol', { className: 'hits', id: 'otherhits' }, gone))));
  } catch (error) {
    box.replaceChildren(h('p', {}, `In ${other}:`), problem(error), h('h3', {}, release ?? 'live'), list);
  }
}

let panels = null; // Panels that have a live release: asked once.

// The same product and its substitutes, where a release of similar products is live.
async function alike(box, id, turn) {
  panels ??= api.json('/explore/api/panels');
  const { similar } = await panels.catch(() => ({ similar: null }));
  if (!similar || turn !== asked) return;
  try {
    const answer = await api.json(`/similar/${encodeURIComponent(id)}`, { k: state().k });
    if (turn !== asked) return;
    box.replaceChildren(h('h3', {}, `Similar products in ${answer.release.replace('__', '@')}`), h('ul', {}, answer.hits.map((hit) => h('li', {},
      h('a', { href: link({ product: hit.product_id, lasso: null }) }, hit.title ?? hit.item_id),
      h('span', { className: 'faint' }, ` ${hit.relation}${hit.known ? '' : ' by cosine'} · ${hit.marketplace} · ${number(hit.score, 3)}`)))));
  } catch (error) {
    box.replaceChildren(h('h3', {}, 'Similar products'), problem(error));
  }
}
