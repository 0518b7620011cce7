// The map: all products of a release, drawn by regl-scatterplot from columns of numbers that the server has.
import { createScatterplot } from './scatterplot.js';
import * as api from './api.js';
import { byId, h, number } from './dom.js';
import { go, state } from './state.js';

export const COLOURS = ['#4e79a7', '#f28e2b', '#e15759', '#3fa39b', '#59a14f', '#c9a400', '#b07aa1', '#ff7f93',
  '#9c755f', '#6b8cff'];
// From low to high; the low end of the one for light grounds would not be seen on a dark one.
const RAMP = ['#440154', '#482878', '#3e4a89', '#31688e', '#26828e', '#1f9e89', '#35b779', '#6ece58', '#b5de2b', '#fde725'];
const DARK_RAMP = ['#8f7ae6', '#7c86ee', '#6593ee', '#4f9fe6', '#41abd6', '#3fb7bd', '#4fc39c', '#74cf78', '#a9d95a', '#fde725'];
const REST = '#9aa0a6';
// The last kind is drawn over the others.
const EDGES = { viewed: '#3fa39b', bought: '#e8833a', 'bought before': '#8a63d2', 'bought after': '#e8833a', related: '#2a6fdb' };
const KINDS = Object.keys(EDGES);
const PAGE = 250000;

let plot = null;
let drawn = null; // { description, x, y, z, role, release }
let lines = [];
let marked = null;
let chosen = { on: () => {}, near: () => {}, many: () => {} };

export const current = () => drawn;
export const listen = (handlers) => { chosen = handlers; };

async function column(description, name) {
  const pages = [];
  for (let first = 0; first < description.products; first += PAGE) {
    pages.push(api.numbers('/explore/api/values',
      { release: description.release, column: name, first, rows: PAGE, token: description.token }));
  }
  const parts = await Promise.all(pages);
  if (parts.length === 1) return parts[0];
  const whole = new Float32Array(description.products);
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

// Colours are numbers 0 to 9, and 10 for what is unknown or among the rest.
function shades(description, values, name) {
  const about = description.columns.find((each) => each.name === name);
  const shade = new Float32Array(values.length);
  if (about.kind === 'number') {
    const logged = (value) => Math.log1p(Math.max(0, value));
    const low = logged(about.low ?? 0);
    const width = (logged(about.high ?? 1) - low) || 1;
    for (let row = 0; row < values.length; row += 1) {
      const place = Math.floor(((logged(values[row]) - low) / width) * 10);
      shade[row] = Number.isNaN(values[row]) ? 10 : Math.min(9, Math.max(0, place));
    }
  } else {
    for (let row = 0; row < values.length; row += 1) shade[row] = Math.min(values[row], 10);
  }
  return { shade, about };
}

const isDark = () => document.documentElement.dataset.theme === 'dark';

const rgba = (hex, alpha) => [...[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255), alpha];

function legend(about) {
  const box = byId('legend');
  const ramp = isDark() ? DARK_RAMP : RAMP;
  const entry = (colour, text) => h('span', {}, h('i', { style: `background:${colour}` }), text);
  if (about.kind === 'number') {
    box.replaceChildren(h('span', {}, `${about.name} `), entry(ramp[0], `≤ ${number(about.low, 2)}`),
      entry(ramp[5], 'between'), entry(ramp[9], `≥ ${number(about.high, 2)}`), entry(REST, 'unknown'));
  } else if (about.kind === 'flag') {
    box.replaceChildren(entry(COLOURS[0], 'has co-purchases or co-views'), entry(COLOURS[1], 'cold start: has none'));
  } else {
    const named = about.names.map((name, at) => entry(COLOURS[at], name));
    box.replaceChildren(...named, about.groups > named.length
      ? entry(REST, `${number(about.groups - named.length)} others`) : '');
  }
  return about.kind === 'number' ? [...ramp, REST] : [...COLOURS, REST];
}

function make() {
  const canvas = byId('canvas');
  const box = byId('plot').getBoundingClientRect();
  plot = createScatterplot({ canvas, width: box.width, height: box.height, lassoOnLongPress: true, opacityBy: 'density',
    pointSize: 5, pointSizeSelected: 4, pointOutlineWidth: 3, colorBy: 'valueA', lassoMinDelay: 5 });
  new ResizeObserver(() => {
    const size = byId('plot').getBoundingClientRect();
    if (!size.width || !size.height) return;
    plot.set({ width: size.width, height: size.height });
    if (drawn && !state().at) plot.zoomToLocation([0, 0], wholeDistance());
  }).observe(byId('plot'));
  plot.subscribe('select', ({ points }) => {
    if (points.length === 1) chosen.on(points[0]); else if (points.length > 1) chosen.many(points);
  });
  plot.subscribe('lassoEnd', ({ coordinates }) => {
    const flat = Array.isArray(coordinates[0]) ? coordinates.flat() : [...coordinates];
    const step = Math.max(1, Math.ceil(flat.length / 2 / 40));
    const kept = [];
    for (let at = 0; at < flat.length; at += 2 * step) kept.push(flat[at].toFixed(3), flat[at + 1].toFixed(3));
    press(false);
    go({ lasso: kept.join(','), product: null }, { quiet: true });
  });
  plot.subscribe('deselect', () => { if (state().lasso) go({ lasso: null }); });
  plot.subscribe('pointOver', over);
  plot.subscribe('pointOut', () => { byId('tip').hidden = true; over.row = null; });
  let waiting;
  plot.subscribe('view', () => {
    byId('tip').hidden = true;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const [x, y] = plot.get('cameraTarget');
      const far = plot.get('cameraDistance');
      const whole = Math.abs(far - wholeDistance()) < 1e-3 && Math.hypot(x, y) < 1e-3;
      go({ at: whole ? null : [x, y, far].map((value) => value.toFixed(3)).join(',') }, { quiet: true });
    }, 400);
  });
  canvas.addEventListener('keydown', (event) => {
    const [x, y] = plot.get('cameraTarget');
    const far = plot.get('cameraDistance');
    const step = 0.2 * far;
    const moves = { ArrowLeft: [-step, 0, 1], ArrowRight: [step, 0, 1], ArrowUp: [0, step, 1], ArrowDown: [0, -step, 1],
      '+': [0, 0, 0.7], '=': [0, 0, 0.7], '-': [0, 0, 1.4] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    plot.zoomToLocation([x + move[0], y + move[1]], far * move[2]);
  });
}

// Products that the pointer was over, by their rows: a click on one asks no more what it is.
const seen = new Map();
const place = (row) => `${drawn.release} ${drawn.token} ${row}`;

export const known = (row) => (drawn ? seen.get(place(row)) : undefined);

async function over(row) {
  over.row = row;
  await new Promise((resolve) => { setTimeout(resolve, 60); });
  if (over.row !== row || !drawn) return;
  const { release } = drawn;
  const { products: [product] } = await api.json('/explore/api/rows', { release, row });
  if (drawn?.release !== release) return;
  if (seen.size > 500) seen.delete(seen.keys().next().value);
  seen.set(place(row), product);
  if (over.row === row) chosen.near(product.product_id);
  if (over.row !== row) return;
  const tip = byId('tip');
  const picture = product.image ? api.image(h('img', { alt: '' }), product.product_id, release) : null;
  tip.replaceChildren(...[picture, h('div', {}, product.title ?? product.product_id),
    h('div', { className: 'faint' }, product.category || product.product_id)].filter(Boolean));
  const [x, y] = plot.getScreenPosition(row) ?? [0, 0];
  const box = byId('map').getBoundingClientRect();
  const top = byId('plot').offsetTop;
  tip.hidden = false;
  tip.style.left = `${Math.max(4, Math.min(x + 12, box.width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(top + y + 12, box.height - tip.offsetHeight - 4))}px`;
}

export function press(on) {
  byId('lasso').setAttribute('aria-pressed', on);
  plot?.set({ mouseMode: on ? 'lasso' : 'panZoom' });
}

// The plot fits −1…1 into its height; from so far away it fits into a narrow one, too.
function wholeDistance() {
  const { width, height } = byId('plot').getBoundingClientRect();
  return width && height > width ? (1.04 * height) / width : 1;
}

export function whole() { plot?.zoomToLocation([0, 0], wholeDistance(), { transition: true, transitionDuration: 300 }); }

function paint() {
  if (!plot) return;
  const dark = isDark();
  if (drawn) plot.set({ pointColor: legend(drawn.about) });
  plot.set({ backgroundColor: dark ? '#101315' : '#f4f4f1', pointColorActive: dark ? '#ffffff' : '#000000',
    pointColorHover: dark ? '#ffffff' : '#000000' });
}

export const repaint = paint;

// Draw the map of the state; what did not change is not asked for again.
export async function draw() {
  const started = performance.now();
  const wanted = state();
  const description = await api.json('/explore/api/map', { release: wanted.release });
  const role = description.roles.includes(wanted.role) ? wanted.role : description.roles.at(-1);
  const names = description.columns.map((each) => each.name);
  const colour = names.includes(wanted.colour) ? wanted.colour : names[0];
  const [x, y, values] = await Promise.all([
    column(description, `${role}_x`), column(description, `${role}_y`), column(description, colour)]);
  if (wanted !== state() && (wanted.release !== state().release || wanted.role !== state().role
    || wanted.colour !== state().colour)) return false;
  if (!plot) make();
  paint();
  const { shade, about } = shades(description, values, colour);
  plot.set({ pointColor: legend(about), pointSize: description.products > 20000 ? 2 : description.products > 3000 ? 4 : 6 });
  const same = drawn && drawn.release === description.release && drawn.role === role && drawn.token === description.token;
  const moves = drawn && !same && drawn.release === description.release && description.products <= 200000;
  await plot.draw({ x, y, z: shade }, { zDataType: 'categorical', transition: Boolean(moves),
    spatialIndex: same ? plot.get('spatialIndex') : undefined });
  const first = drawn === null;
  drawn = { description, about, x, y, role, release: description.release, token: description.token };
  controls(description, role, colour);
  if (first && wanted.at) {
    const [a, b, far] = wanted.at.split(',').map(Number);
    if ([a, b, far].every(Number.isFinite) && far > 0) await plot.zoomToLocation([a, b], far);
  } else if (first && wholeDistance() > 1) {
    await plot.zoomToLocation([0, 0], wholeDistance());
  }
  byId('empty').hidden = true;
  if (wanted.lasso && !wanted.product) {
    const flat = wanted.lasso.split(',').map(Number);
    const corners = [];
    for (let at = 0; at + 1 < flat.length; at += 2) corners.push([flat[at], flat[at + 1]]);
    if (corners.length > 2) plot.lassoSelect(corners);
  }
  tie(lines);
  if (marked !== null) mark(marked);
  performance.measure('twinvec: map', { start: started, end: performance.now() });
  document.body.dataset.drawn = `${description.release} ${role} ${colour} ${description.products}`;
  return true;
}

function controls(description, role, colour) {
  byId('roles').replaceChildren(...(description.roles.length > 1 ? description.roles : []).map((name) => h('button',
    { type: 'button', 'aria-pressed': String(name === role), onclick: () => go({ role: name }) }, name)), ' ');
  byId('colour').replaceChildren(...description.columns.map((each) => h('option',
    { value: each.name, selected: each.name === colour }, each.name === 'cold' ? 'cold start' : each.name)));
}

function ties(kinds) {
  byId('ties').hidden = !kinds.length;
  byId('ties').replaceChildren(...kinds.map((kind) => h('span', {}, h('i', { className: 'line', style: `background:${EDGES[kind]}` }), kind)));
}

// Mark a product, and draw its edges: [{ row, kind }] each from the row `from`.
export function tie(edges) {
  lines = edges;
  if (!plot || !drawn) return;
  const at = (row) => [drawn.x[row], drawn.y[row]];
  const usable = edges.filter((edge) => edge.row !== null && edge.from !== null && edge.row < drawn.x.length);
  ties(KINDS.filter((kind) => usable.some((edge) => edge.kind === kind)));
  if (!usable.length) { plot.clearAnnotations(); return; }
  usable.sort((one, two) => KINDS.indexOf(one.kind) - KINDS.indexOf(two.kind));
  plot.drawAnnotations(usable.map((edge) => ({ vertices: [at(edge.from), at(edge.row)],
    lineColor: rgba(EDGES[edge.kind] ?? REST, edge.kind === 'related' ? 0.9 : 0.4), lineWidth: edge.kind === 'related' ? 2 : 1 })));
}

export function mark(row) {
  marked = row ?? null;
  if (!plot || !drawn) return;
  if (row === null || row === undefined) plot.deselect({ preventEvent: true });
  else plot.select([row], { preventEvent: true });
}

export function hint(row) { if (plot && drawn && row !== null && row !== undefined) plot.hover(row, { preventEvent: true }); }

export function empty(content) {
  if (plot) { plot.clearAnnotations(); plot.clear(); }
  drawn = null;
  byId('legend').replaceChildren();
  ties([]);
  byId('empty').replaceChildren(content);
  byId('empty').hidden = false;
  document.body.dataset.drawn = 'empty';
}
