// Related products of a product that is not in the catalogue, with an image dropped in.
import * as api from './api.js';
import { h, problem } from './dom.js';
import { hitOf } from './product.js';
import { go, state } from './state.js';

let image = null;

const base64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(new Error('The file cannot be read.'));
  reader.readAsDataURL(file);
});

export function show(panel) {
  const { title = '', category = '', k } = state();
  const out = h('div', { id: 'answer' });
  const drop = h('div', { className: 'drop', id: 'drop' });
  const take = async (file) => {
    if (!file) return;
    try { image = { name: file.name, data: await base64(file) }; } catch (error) { out.replaceChildren(problem(error)); }
    shown();
  };
  const pick = h('input', { type: 'file', accept: 'image/*', id: 'file', onchange: (event) => take(event.target.files[0]) });
  function shown() {
    drop.replaceChildren(image ? h('div', {}, h('img', { src: image.data, alt: image.name }), h('div', {}, image.name,
      ' ', h('button', { type: 'button', onclick: () => { image = null; pick.value = ''; shown(); } }, 'remove')))
      : h('p', {}, 'Drop or paste an image here, or choose one:'), h('label', {}, h('span', { className: 'hidden' }, 'Image'), pick));
  }
  drop.addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('over'); });
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => { event.preventDefault(); drop.classList.remove('over'); take(event.dataTransfer.files[0]); });
  panel.onpaste = (event) => take([...event.clipboardData.files][0]);
  const form = h('form', { className: 'fresh', onsubmit: (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    go({ title: fields.get('title').trim(), category: fields.get('category').trim() }, { quiet: true });
    ask(out, k);
  } }, h('label', {}, 'Title ', h('input', { name: 'title', value: title })),
  h('label', {}, 'Category ', h('input', { name: 'category', value: category, placeholder: 'Music > Jazz' })), drop,
  h('p', {}, h('button', { type: 'submit' }, 'Find related products')));
  shown();
  panel.replaceChildren(h('h2', {}, 'A product that is not in the catalogue'),
    h('p', { className: 'faint' }, 'A title, a category or an image is enough. The image stays out of the address.'), form, out);
  if (title || category) ask(out, k);
}

async function ask(out, k) {
  const { release, title, category } = state();
  if (!title && !category && !image) {
    out.replaceChildren(problem({ message: 'Nothing is known of it.', hint: 'Give a title, a category or an image.' }));
    return;
  }
  out.replaceChildren(h('p', {}, 'It is being encoded …'));
  try {
    const answer = await api.json('/related', { release, k }, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ title: title || undefined, category: category || undefined, image: image?.data }) });
    out.replaceChildren(h('h3', {}, `Related products in ${answer.release.replace('__', '@')}`),
      h('ol', { className: 'hits', id: 'hits' }, answer.hits.map((hit, at) => hitOf(hit, at + 1, null, release))));
  } catch (error) {
    out.replaceChildren(problem(error));
  }
}
