/** Panels that open beneath their button: the field that has to be filled in is where the caret is. */
document.addEventListener(
  'toggle',
  ({ target }) => {
    if (target.matches('details.panel[open]')) target.querySelector('input[type=text]')?.focus();
  },
  true,
);
