// The page: what the address says is shown, and what is done changes the address.
import * as api from './api.js';
import * as compare from './compare.js';
import { byId, h, number, problem, save } from './dom.js';
import * as fresh from './fresh.js';
import * as labels from './labels.js';
import * as map from './map.js';
import * as product from './product.js';
import * as relevance from './relevance.js';
import { go, link, onChange, state } from './state.js';

const VIEWS = [['product', 'Product'], ['compare', 'Compare'], ['relevance', 'Relevance'], ['new', 'New product'], ['labels', 'Labels']];
const SELECTED = 100;
let releases = [];

function theme() {
  const dark = state().theme ? state().theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  map.repaint();
}

function frame() {
  const { view, release, other } = state();
  document.body.dataset.view = view;
  byId('views').replaceChildren(...VIEWS.map(([name, text]) => h('a',
    { href: link({ view: name }), 'aria-current': name === view ? 'page' : null }, text)));
  const option = (value, text, chosen) => h('option', { value, selected: value === (chosen ?? '') }, text);
  byId('release').replaceChildren(...(releases.some((each) => each.state === 'live') ? [option('', 'live', release)] : []),
    ...releases.map((each) => option(each.name, `${each.name} ${each.state}`, release)));
  byId('other').replaceChildren(option('', 'none', other), ...releases.map((each) => option(each.name, each.name, other)));
}

function start(panel) {
  panel.replaceChildren(h('h2', {}, 'Look at products and releases'),
    h('p', {}, 'Click a product on the map, or search for one. Draw a lasso around some to list them.'),
    h('p', { className: 'faint' }, 'Every state of the page is in its address, so a link shows the same. Press ? for the keys.'));
}

async function many(rows) {
  const panel = byId('panel');
  const { release } = map.current();
  panel.replaceChildren(h('h2', {}, `${number(rows.length)} products`), h('p', {}, 'They are being listed …'));
  try {
    const { products } = await api.json('/explore/api/rows', { release, row: rows.slice(0, SELECTED) });
    const counts = Object.entries(Object.groupBy?.(products, (each) => each.category || 'no category') ?? {});
    panel.replaceChildren(h('h2', {}, `${number(rows.length)} products`),
      rows.length > SELECTED ? h('p', { className: 'faint' }, `The first ${SELECTED} are listed.`) : '',
      counts.length ? h('p', { className: 'faint' }, counts.map(([name, group]) => `${name} ${group.length}`).join(', ')) : '',
      h('p', {}, h('button', { type: 'button', onclick: () => save('products.csv',
        ['product_id', ...products.map((each) => `"${each.product_id.replaceAll('"', '""')}"`), ''].join('\n')) }, 'Download the listed ids')),
      h('ol', { className: 'hits', id: 'hits' }, products.map((each) => product.hitOf(
        { product: { ...each, category: [each.category], currency: null }, score: each.price, listed: true }, '', null, release))));
    for (const line of panel.querySelectorAll('.hit .faint:nth-child(3)')) line.remove();
  } catch (error) {
    panel.replaceChildren(problem(error));
  }
}

async function panelOf() {
  const panel = byId('panel');
  const { view, product: id, lasso } = state();
  if (view !== 'product') { map.mark(null); map.tie([]); }
  if (view === 'compare') await compare.show(panel, releases);
  else if (view === 'relevance') await relevance.show(panel);
  else if (view === 'new') fresh.show(panel);
  else if (view === 'labels') labels.show(panel);
  else if (id) await product.show(panel, releases);
  else if (!lasso) { map.mark(null); map.tie([]); start(panel); }
}

async function drawMap() {
  try {
    await map.draw();
  } catch (error) {
    const command = error.hint?.match(/`([^`]+)`/)?.[1];
    map.empty(h('div', {}, problem(error), command ? h('p', {}, 'Run ', h('code', {}, command)) : ''));
  }
}

let searching;
async function find(text) {
  const turn = (searching = {});
  const box = byId('found');
  if (!text.trim()) { box.hidden = true; return; }
  await new Promise((resolve) => { setTimeout(resolve, 120); });
  if (turn !== searching) return;
  let lines;
  try {
    const { products } = await api.json('/explore/api/search', { release: state().release, q: text.trim() });
    lines = products.map((each) => h('li', {}, h('a', { href: link({ view: 'product', product: each.product_id, q: text, lasso: null }) },
      each.title ?? each.product_id, h('span', { className: 'faint' }, ` ${each.category ?? ''}`))));
    if (!lines.length) lines = [h('li', {}, h('p', {}, 'Nothing has these words in its title. Ids are matched letter for letter.'))];
  } catch (error) {
    lines = [h('li', {}, problem(error))];
  }
  if (turn !== searching) return;
  box.replaceChildren(...lines);
  box.hidden = false;
}

function keys() {
  const dialog = byId('keys');
  const all = [['/', 'search'], ['↓ ↑', 'next and last product of a list'], ['Enter', 'open it'], ['g b', 'label it good or bad'],
    ['p c r n l', 'product, compare, relevance, new product, labels'], ['arrows + −', 'move and zoom the map, once it has the focus'],
    ['Esc', 'close what is open'], ['?', 'this help']];
  dialog.replaceChildren(h('h2', {}, 'Keys'), h('table', {}, h('tbody', {}, all.map(([key, text]) => h('tr', {},
    h('td', {}, key.split(' ').flatMap((each) => [h('kbd', {}, each), ' '])), h('td', {}, text))))),
  h('form', { method: 'dialog' }, h('p', {}, h('button', {}, 'Close'))));
  dialog.showModal();
}

function step(list, by) {
  const lines = [...list];
  const at = lines.findIndex((line) => line.contains(document.activeElement));
  const next = lines[Math.max(0, Math.min(lines.length - 1, at + by))];
  next?.querySelector('a')?.focus();
}

document.addEventListener('keydown', (event) => {
  const inside = document.activeElement;
  const searchBox = byId('search').contains(inside);
  if (event.key === 'Escape') { byId('found').hidden = true; map.press(false); return; }
  if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && inside !== byId('canvas') && inside.tagName !== 'SELECT') {
    const list = searchBox ? byId('found').children : document.querySelectorAll('#hits > .hit');
    if (list.length) { event.preventDefault(); step(list, event.key === 'ArrowDown' ? 1 : -1); }
    return;
  }
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(inside.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  const views = { p: 'product', c: 'compare', r: 'relevance', n: 'new', l: 'labels' };
  if (event.key === '/') { event.preventDefault(); byId('query').focus(); byId('query').select(); }
  else if (event.key === '?') keys();
  else if (views[event.key]) go({ view: views[event.key] });
  else if (event.key === 'g' || event.key === 'b') {
    inside.closest?.('.hit')?.querySelector(event.key === 'g' ? '.good' : '.bad')?.click();
  }
});

function wire() {
  byId('release').addEventListener('change', (event) => go({ release: event.target.value }));
  byId('other').addEventListener('change', (event) => go({ other: event.target.value }));
  byId('colour').addEventListener('change', (event) => go({ colour: event.target.value }));
  byId('theme').addEventListener('click', () => go({ theme: document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark' }));
  byId('help').addEventListener('click', keys);
  byId('lasso').addEventListener('click', (event) => map.press(event.target.getAttribute('aria-pressed') !== 'true'));
  byId('whole').addEventListener('click', map.whole);
  byId('query').addEventListener('input', (event) => find(event.target.value));
  byId('search').addEventListener('submit', async (event) => {
    event.preventDefault();
    const text = byId('query').value.trim();
    await find(text);
    const first = byId('found').querySelector('a');
    if (first) first.click(); else if (text) go({ view: 'product', product: text, lasso: null });
    byId('found').hidden = true;
  });
  byId('search').addEventListener('focusout', (event) => {
    if (!byId('search').contains(event.relatedTarget)) setTimeout(() => { byId('found').hidden = true; }, 150);
  });
  map.listen({
    on: async (row) => {
      const found = map.known(row) ?? (await api.json('/explore/api/rows', { release: map.current().release, row })).products[0];
      go({ view: 'product', product: found.product_id, lasso: null });
    },
    near: product.prepare,
    many,
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', theme);
  onChange((now, changed) => {
    byId('found').hidden = true;
    if (changed('theme')) theme();
    frame();
    if (changed('release', 'role', 'colour')) drawMap();
    if (changed('release', 'other', 'product', 'view', 'k', 'all', 'why', 'lasso')) panelOf();
  });
}

async function begin() {
  theme();
  wire();
  byId('query').value = state().q ?? '';
  frame();
  try {
    ({ releases } = await api.json('/explore/api/releases'));
  } catch (error) {
    byId('panel').replaceChildren(problem(error));
    return;
  }
  frame();
  if (!releases.length) {
    map.empty(h('div', {}, h('p', {}, 'There is no release yet.'), h('p', {}, 'Run ', h('code', {}, 'twinvec demo'),
      ' or, with a catalogue, ', h('code', {}, 'twinvec run'), ', then load the page again.')));
    byId('panel').replaceChildren(h('h2', {}, 'Nothing to look at yet'));
    return;
  }
  panelOf();
  await drawMap();
}

begin();
