/* Gives the fields of the vendored viewer the names that it leaves out, for who cannot see what stands beside them. */
const known = new WeakSet();
function name_fields(root) {
  root.querySelectorAll('input:not([aria-label]),select:not([aria-label]),textarea:not([aria-label])').forEach((field) => {
    field.setAttribute('aria-label', field.dataset.pname || field.placeholder || field.id || field.className || 'choice');
  });
  root.querySelectorAll('*').forEach((node) => { if (node.shadowRoot) watch(node.shadowRoot); });
}
function watch(root) {
  if (known.has(root)) return;
  known.add(root);
  new MutationObserver(() => name_fields(root)).observe(root, { childList: true, subtree: true });
  name_fields(root);
}
customElements.whenDefined('rapi-doc').then(() => watch(document.querySelector('rapi-doc').shadowRoot));
