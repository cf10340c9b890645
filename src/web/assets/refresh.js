/**
 * Loads the page again when what it waits for has changed: `data-version` is then another one. A page that was left open
 * stops after ten minutes, because each look at the server is a use of the session, which would never be idle.
 */
const EVERY_MS = 5000;
const STOP_MS = 600_000;

/** As the server writes it. No text of a user has a quotation mark that is not escaped; and no script here makes markup of text. */
const shown = `data-version="${document.querySelector('[data-version]').dataset.version}"`;
const stopAt = Date.now() + STOP_MS;

async function look() {
  if (document.hidden) return true;
  // Unavailable for a moment: tried again. Anything but the same page means that there is nothing more to wait for here.
  const response = await fetch(location.href, { redirect: 'manual' }).catch(() => undefined);
  if (response === undefined || response.status >= 500) return true;
  if (!response.ok) return false;
  if ((await response.text()).includes(shown)) return true;
  location.reload();
  return false;
}

async function next() {
  if (Date.now() < stopAt && (await look())) setTimeout(() => void next(), EVERY_MS);
}
setTimeout(() => void next(), EVERY_MS);
