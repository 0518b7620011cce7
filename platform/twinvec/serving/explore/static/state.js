// The state of the page is its address: whoever gets the link sees the same.
const DEFAULTS = { view: 'product', colour: 'category', k: '10', why: '1' };
const listeners = [];
let current = read();

function read() {
  return { ...DEFAULTS, ...Object.fromEntries(new URLSearchParams(location.search)) };
}

export const state = () => current;

export function link(changes) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...current, ...changes })) {
    if (value !== undefined && value !== null && value !== '' && DEFAULTS[name] !== value) query.set(name, value);
  }
  const text = query.toString();
  return text ? `/explore?${text}` : '/explore';
}

export function go(changes, { quiet = false, replace = false } = {}) {
  const before = current;
  const address = link(changes);
  if (address !== location.pathname + location.search) {
    history[replace || quiet ? 'replaceState' : 'pushState']({}, '', address);
  }
  current = read();
  if (!quiet) tell(before);
}

export const onChange = (listener) => listeners.push(listener);

function tell(before) {
  const changed = (...names) => names.some((name) => before[name] !== current[name]);
  for (const listener of listeners) listener(current, changed);
}

window.addEventListener('popstate', () => {
  const before = current;
  current = read();
  tell(before);
});

// Links within the page change its state; with a modifier they open as links do.
document.addEventListener('click', (event) => {
  const anchor = event.target.closest('a[href^="/explore"]');
  if (!anchor || anchor.download || event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (anchor.pathname !== '/explore') return;
  event.preventDefault();
  history.pushState({}, '', anchor.href);
  const before = current;
  current = read();
  tell(before);
});
