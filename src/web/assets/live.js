/**
 * A view that is kept up to date by server-sent events: it says when the connection is lost, comes back by itself, and knows when there is no
 * use in coming back.
 */

/** After an answer that was no stream: a crowd of pages must not come back all at once. */
const RETRY_MS = [2000, 4000, 8000, 15_000];

/** Says how the connection is. A link stands behind the words where there is something to do. */
function say(element, words, look, link) {
  if (element === null) return;
  element.hidden = words === '';
  element.className = look === 'live' ? 'live' : `state ${look}`;
  element.replaceChildren(words);
  if (link === undefined) return;
  const anchor = document.createElement('a');
  anchor.href = link.href;
  anchor.textContent = link.words;
  element.append(' ', anchor);
}

/** What the server says instead of a stream. */
async function refusalAt(url) {
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

/** Where there is no use in asking again: nobody is signed in, may not, asks for what cannot be asked, or for what is gone. */
function finalWords({ status, detail }) {
  switch (status) {
    case 401:
      return { words: 'You are signed out.', link: { href: '/login?to=admin', words: 'Sign in again' } };
    case 400:
    case 403:
    case 404:
      return { words: detail === '' ? 'This cannot be watched.' : detail };
    default:
      return undefined;
  }
}

/**
 * Follows the stream that the element names in `data-live`.
 * @param {HTMLElement} element
 * @param {object} view
 * @param {Record<string, (event: MessageEvent) => void>} view.on listeners by the event's name
 * @param {(reason: string) => boolean} [view.ended] whether the stream is over for good, by its own reason; otherwise it comes back
 * @param {() => void} [view.lost] it came back without knowing where it was
 */
export function follow(element, { on, ended = () => false, lost = () => {} }) {
  const url = element.dataset.live;
  const connection = element.querySelector('[data-connection]');
  let source;
  let tries = 0;

  function open() {
    source = new EventSource(url);
    source.addEventListener('open', () => {
      tries = 0;
      say(connection, 'live', 'live');
    });
    for (const [name, listener] of Object.entries(on)) source.addEventListener(name, listener);
    source.addEventListener('end', (event) => {
      if (!ended(JSON.parse(event.data).reason)) return;
      source.close();
      say(connection, '', 'quiet');
    });
    source.addEventListener('error', () => void failed());
  }

  /** A lost connection comes back by itself, with its place. A refusal does not. */
  async function failed() {
    say(connection, 'reconnecting…', 'warn');
    if (source.readyState !== EventSource.CLOSED) return;
    const refusal = await refusalAt(url);
    const final = finalWords(refusal);
    if (final !== undefined) return say(connection, final.words, 'bad', final.link);
    if (refusal.detail !== '') say(connection, refusal.detail, 'warn');
    const wait = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)];
    tries += 1;
    setTimeout(() => {
      lost();
      open();
    }, wait);
  }

  say(connection, 'connecting…', 'quiet');
  open();
}

/** Puts texts where the element has a place of that name. */
export function fill(element, texts) {
  for (const [name, text] of Object.entries(texts)) {
    const place = element.querySelector(`[data-text="${name}"]`);
    if (place !== null && place.textContent !== text) place.textContent = text;
  }
}

/** A copy of what stands in a template: the page has the words, scripts have none. */
export function copyOf(template) {
  return template.content.firstElementChild.cloneNode(true);
}

/** As the server says it. */
export function spanOfMs(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** As the server orders them: each replica keeps its place while the others come in. */
export function byName(replicas) {
  return replicas.toSorted((left, right) => (left.id < right.id ? -1 : left.id > right.id ? 1 : 0));
}
