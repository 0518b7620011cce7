// What products are to a search query: exact, substitute, complement or irrelevant.
import * as api from './api.js';
import { h, number, problem } from './dom.js';
import { go, link, state } from './state.js';

const NAMES = { E: 'exact', S: 'substitute', C: 'complement', I: 'irrelevant' };
const named = (label) => [...label].map((each) => NAMES[each] ?? each).join(' or ');

export async function show(panel) {
  const out = h('div', { id: 'judged' });
  const { words = '' } = state();
  panel.replaceChildren(h('h2', {}, 'Relevance to a search query'), h('form', { className: 'fresh', onsubmit: (event) => {
    event.preventDefault();
    go({ words: new FormData(event.target).get('words').trim() });
    ask(out);
  } }, h('label', {}, 'Query ', h('input', { name: 'words', value: words, required: true })),
  h('p', {}, h('button', { type: 'submit' }, 'Judge products'))),
  h('p', { className: 'faint' }, 'The products are those whose titles have all words of the query, and the product that is open.'), out);
  if (words) await ask(out);
}

async function ask(out) {
  const { words, release, product } = state();
  out.replaceChildren(h('p', {}, 'They are being judged …'));
  try {
    const { relevance } = await api.json('/explore/api/panels');
    if (!relevance) {
      out.replaceChildren(problem({ message: 'No release of search relevance is live.',
        hint: 'A catalogue with queries and judgements gets one by `twinvec run`.' }));
      return;
    }
    const { products } = await api.json('/explore/api/search', { release, q: words, k: 50 });
    const titles = new Map(products.map((each) => [each.product_id, each.title]));
    if (product && !titles.has(product)) titles.set(product, product);
    if (!titles.size) { out.replaceChildren(h('p', {}, 'No title has all these words, and no product is open.')); return; }
    const answer = await api.json('/relevance', {}, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: words, product_ids: [...titles.keys()] }) });
    out.replaceChildren(h('p', { className: 'faint' }, `${answer.version}, region ${answer.locale}; ${answer.known_query ? 'a query of the catalogue' : 'a new query'}`),
      h('div', { className: 'scroll' }, h('table', {}, h('thead', {}, h('tr', {}, ['product', 'label', 'probabilities'].map((each) => h('th', {}, each)))),
        h('tbody', {}, answer.products.map((each) => h('tr', {}, h('td', {}, h('a', { href: link({ view: 'product', product: each.product_id }) }, titles.get(each.product_id) ?? each.product_id)),
          h('td', {}, named(each.label)), h('td', {}, Object.entries(each.probabilities).map(([label, share]) => `${label} ${number(100 * share, 0)} %`).join(', '))))))));
  } catch (error) {
    out.replaceChildren(problem(error));
  }
}
