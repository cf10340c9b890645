/**
 * Buttons that copy the text of the element whose id they have in `data-copy`, or print the page. Without this script
 * they are hidden.
 *
 * The text is selected and copied as by the user: the pages' policy forbids the clipboard API, so that an attacker's
 * script could not read the clipboard.
 */
function copy(button, label) {
  const selection = getSelection();
  const element = document.getElementById(button.dataset.copy);
  // What is folded away cannot be selected.
  element.closest('details')?.setAttribute('open', '');
  selection.selectAllChildren(element);
  button.textContent = document.execCommand('copy') ? 'Copied' : 'Selected';
  setTimeout(() => (button.textContent = label), 2000);
}

for (const button of document.querySelectorAll('[data-copy]')) {
  // Read once: at a second click the button says "Copied".
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener('click', () => copy(button, label));
}

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false;
  button.addEventListener('click', () => print());
}
