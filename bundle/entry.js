// What the page takes from the library.
export { default as createScatterplot, createTextureFromUrl } from 'regl-scatterplot';
