// Elements are made here, never from HTML text, so that titles cannot be code.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== 'list' && name !== 'form') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function problem(error) {
  return h('div', { className: 'problem', role: 'alert' },
    h('p', {}, error.message), error.hint ? h('p', { className: 'faint' }, error.hint) : null);
}

export function save(name, text) {
  const link = h('a', { href: URL.createObjectURL(new Blob([text], { type: 'text/csv' })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export const number = (value, digits = 4) => (value === null || value === undefined || Number.isNaN(value)
  ? '–' : value.toLocaleString('en', { maximumFractionDigits: digits }));
