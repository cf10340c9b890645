/**
 * A view that server-sent events keep up to date. It shows when the connection is lost, reconnects by itself, and
 * stops where reconnecting is useless.
 */

/** The waits after a response that was not a stream. They grow, so that many open pages do not overload the server. */
const RETRY_MS = [2000, 4000, 8000, 15_000];

/** Shows the state of the connection, with a link after the text where the user can do something. */
function showState(element, text, style, link) {
  if (element === null) return;
  element.hidden = text === '';
  element.className = style === 'live' ? 'live' : `state ${style}`;
  element.replaceChildren(text);
  if (link === undefined) return;
  const anchor = document.createElement('a');
  anchor.href = link.href;
  anchor.textContent = link.text;
  element.append(' ', anchor);
}

/** Reads the error that the server sends instead of a stream. */
async function errorAt(url) {
  const ended = new AbortController();
  try {
    const response = await fetch(url, { headers: { Accept: 'text/event-stream' }, signal: ended.signal });
    if (response.ok) return { status: response.status, detail: '' };
    const problem = await response.json().catch(() => ({}));
    return { status: response.status, detail: typeof problem.detail === 'string' ? problem.detail : '' };
  } catch {
    return { status: 0, detail: '' };
  } finally {
    ended.abort();
  }
}

/**
 * Returns the message of an error that trying again cannot fix: signed out, not allowed, a malformed request, not
 * found.
 */
function finalMessage({ status, detail }) {
  switch (status) {
    case 401:
      return { text: 'You are signed out.', link: { href: '/login?to=admin', text: 'Sign in again' } };
    case 400:
    case 403:
    case 404:
      return { text: detail === '' ? 'There is no live view of this.' : detail };
    default:
      return undefined;
  }
}

/**
 * Follows the stream whose URL the element has in `data-live`.
 * @param {HTMLElement} element
 * @param {object} view
 * @param {Record<string, (event: MessageEvent) => void>} view.on listeners by the event's name
 * @param {(reason: string) => boolean} [view.ended] whether a stream that ends with this reason is over; otherwise
 *   it reconnects
 * @param {() => void} [view.lost] called when it reconnects without its last position
 */
export function follow(element, { on, ended = () => false, lost = () => {} }) {
  const url = element.dataset.live;
  const connection = element.querySelector('[data-connection]');
  let source;
  let attempts = 0;
  let wasOpen = false;

  function open() {
    source = new EventSource(url);
    source.addEventListener('open', () => {
      attempts = 0;
      wasOpen = true;
      showState(connection, 'live', 'live');
    });
    for (const [name, listener] of Object.entries(on)) source.addEventListener(name, listener);
    source.addEventListener('end', (event) => {
      if (!ended(JSON.parse(event.data).reason)) return;
      source.close();
      showState(connection, '', 'quiet');
    });
    source.addEventListener('error', () => void failed());
  }

  /** The browser itself restores a lost connection, with its last position. After an error response it does not. */
  async function failed() {
    showState(connection, 'reconnecting…', 'warn');
    if (source.readyState !== EventSource.CLOSED) return;
    const error = await errorAt(url);
    const final = finalMessage(error);
    if (final !== undefined) return showState(connection, final.text, 'bad', final.link);
    if (error.detail !== '') showState(connection, error.detail, 'warn');
    const waitMs = RETRY_MS[Math.min(attempts, RETRY_MS.length - 1)];
    attempts += 1;
    setTimeout(() => {
      // Once for a connection, and not for each attempt that the server rejects.
      if (wasOpen) lost();
      wasOpen = false;
      open();
    }, waitMs);
  }

  showState(connection, 'connecting…', 'quiet');
  open();
}

/** Writes texts into the parts of an element that have these names in `data-text`. */
export function fill(element, texts) {
  for (const [name, text] of Object.entries(texts)) {
    const part = element.querySelector(`[data-text="${name}"]`);
    if (part !== null && part.textContent !== text) part.textContent = text;
  }
}

/** Returns a copy of a template's content. The texts are on the page, not in the scripts. */
export function copyOf(template) {
  return template.content.firstElementChild.cloneNode(true);
}

/** Formats a duration as the server does (src/web/admin/format.ts). */
export function formatMs(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Sorts replicas as the server does, so that rows stay in place while others come in. */
export function sortedById(replicas) {
  return replicas.toSorted((left, right) => (left.id < right.id ? -1 : left.id > right.id ? 1 : 0));
}
