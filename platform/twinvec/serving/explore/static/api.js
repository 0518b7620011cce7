// Questions to the server, with the key if it wants one. The key stays in this tab and out of the address.
const KEY = 'twinvec.key';
let asking = null;

export class Failure extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

export function path(where, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== '') query.append(name, each);
    }
  }
  const text = query.toString();
  return text ? `${where}?${text}` : where;
}

async function ask(where, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  let answer;
  try {
    answer = await fetch(where, { ...options, headers });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure(0, 'The server does not answer.', 'See that `twinvec serve` runs, and load the page again.');
  }
  if (answer.status === 401) {
    await askForKey();
    return ask(where, options);
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Failure(answer.status, told.detail ?? `status ${answer.status}`, told.hint);
  }
  return answer;
}

// One question for the key, however many requests wait for it.
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById('secret');
    const refused = sessionStorage.getItem(KEY) !== null;
    dialog.innerHTML = '<form method="dialog"><h2>A key is needed</h2><p></p><label>Key '
      + '<input type="password" autocomplete="off" required></label> <button>Use it</button></form>';
    dialog.querySelector('p').textContent = refused
      ? 'This key is not known.' : '`twinvec keys new NAME` makes one. It is kept in this tab only.';
    dialog.querySelector('form').addEventListener('submit', () => {
      sessionStorage.setItem(KEY, dialog.querySelector('input').value.trim());
      asking = null;
      resolve();
    });
    dialog.addEventListener('cancel', (event) => event.preventDefault());
    dialog.showModal();
  });
  return asking;
}

export const json = async (where, parameters, options) => (await ask(path(where, parameters), options)).json();

export const numbers = async (where, parameters) => new Float32Array(
  await (await ask(path(where, parameters))).arrayBuffer());

export const product = (id) => `/explore/api/product/${encodeURIComponent(id)}`;

const pictures = new Map();

// Address of a picture that an <img> can show: requests of <img> carry no key, so it is fetched here.
export function picture(where) {
  if (!pictures.has(where)) {
    if (pictures.size > 500) pictures.delete(pictures.keys().next().value);
    pictures.set(where, ask(where).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob)));
  }
  return pictures.get(where);
}

export function image(element, id, release) {
  element.hidden = true;
  picture(path(`/explore/api/image/${encodeURIComponent(id)}`, { release }))
    .then((source) => { element.src = source; element.hidden = false; })
    .catch(() => { element.remove(); });
  return element;
}
