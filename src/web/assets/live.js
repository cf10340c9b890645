/**
 * A view that is kept up to date by server-sent events: it shows when the connection is lost, reconnects by itself, and stops where
 * that is pointless.
 */

/** Delays after a response that was no stream, so that many pages do not reconnect at the same time. */
const RETRY_MS = [2000, 4000, 8000, 15_000];

/** Shows the state of the connection, with a link where the user can do something about it. */
function showConnection(element, text, style, link) {
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

/** Fetches the error that the server sends instead of a stream. */
async function rejectionAt(url) {
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

/** Returns the message where reconnecting is pointless: signed out, forbidden, an invalid request, or not found; else undefined. */
function finalMessage({ status, detail }) {
  switch (status) {
    case 401:
      return { text: 'You are signed out.', link: { href: '/login?to=admin', text: 'Sign in again' } };
    case 400:
    case 403:
    case 404:
      return { text: detail === '' ? 'This cannot be watched.' : detail };
    default:
      return undefined;
  }
}

/**
 * Follows the stream that the element names in `data-live`.
 * @param {HTMLElement} element
 * @param {object} view
 * @param {Record<string, (event: MessageEvent) => void>} view.on listeners by the event's name
 * @param {(reason: string) => boolean} [view.ended] whether the stream has ended permanently; otherwise it reconnects
 * @param {() => void} [view.lost] called when it reconnects without its position
 */
export function follow(element, { on, ended = () => false, lost = () => {} }) {
  const url = element.dataset.live;
  const connection = element.querySelector('[data-connection]');
  let source;
  let attempts = 0;

  function open() {
    source = new EventSource(url);
    source.addEventListener('open', () => {
      attempts = 0;
      showConnection(connection, 'live', 'live');
    });
    for (const [name, listener] of Object.entries(on)) source.addEventListener(name, listener);
    source.addEventListener('end', (event) => {
      if (!ended(JSON.parse(event.data).reason)) return;
      source.close();
      showConnection(connection, '', 'quiet');
    });
    source.addEventListener('error', () => void failed());
  }

  /** A lost connection reconnects by itself, with its position. A rejected one does not. */
  async function failed() {
    showConnection(connection, 'reconnecting…', 'warn');
    if (source.readyState !== EventSource.CLOSED) return;
    const rejection = await rejectionAt(url);
    const final = finalMessage(rejection);
    if (final !== undefined) return showConnection(connection, final.text, 'bad', final.link);
    if (rejection.detail !== '') showConnection(connection, rejection.detail, 'warn');
    const wait = RETRY_MS[Math.min(attempts, RETRY_MS.length - 1)];
    attempts += 1;
    setTimeout(() => {
      lost();
      open();
    }, wait);
  }

  showConnection(connection, 'connecting…', 'quiet');
  open();
}

/** Sets the texts of the descendants with these names in `data-text`. */
export function fill(element, texts) {
  for (const [name, text] of Object.entries(texts)) {
    const target = element.querySelector(`[data-text="${name}"]`);
    if (target !== null && target.textContent !== text) target.textContent = text;
  }
}

/** Copies the content of a template: the texts are in the page, and scripts have none. */
export function copyOf(template) {
  return template.content.firstElementChild.cloneNode(true);
}

/** The same format as on the server. */
export function spanOfMs(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** The same order as on the server, so that no row moves when others arrive. */
export function byName(replicas) {
  return replicas.toSorted((left, right) => (left.id < right.id ? -1 : left.id > right.id ? 1 : 0));
}
