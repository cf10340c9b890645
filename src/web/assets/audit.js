/**
 * The audit log, live: the page has the past already, and new events come on top. Each event is shown once, and the
 * outcome of a request replaces its beginning. Events that arrive during a pause wait, and
 * events that are too many for a page are dropped and counted.
 */
import { copyOf, fill, follow } from './live.js';
import { grantsOf, isOpen, outcomeOf, whatOf, whoOf } from './sentence.js';

const MAX_LINES = 500;
/** Events that arrive within this time are shown together. */
const SHOW_MS = 100;
/** A screen reader reads only the count, and not at each event. */
const ANNOUNCE_MS = 4000;

const element = document.querySelector('[data-live]');
const list = element.querySelector('[data-lines]');
const pause = element.querySelector('[data-pause]');
const counter = element.querySelector('[data-count]');
const announcement = element.querySelector('[data-announcement]');
const empty = element.querySelector('[data-empty]');
const gapMessages = JSON.parse(element.dataset.messages);
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

/** Events on the page, by id, stage and verb; the server has drawn the first of them. */
const known = new Set([...list.querySelectorAll('[data-event]')].map((line) => line.dataset.event));
const MAX_KNOWN = 4 * MAX_LINES;

let waiting = [];
let paused = false;
let seen = 0;
let dropped = 0;
let showing;
let announcing;

/** Returns a mark for each grant that a request was made with, as `audit-lines.ts` does. */
const grantMarks = (event) =>
  grantsOf(event).flatMap((id) => {
    const mark = document.createElement('span');
    mark.className = 'badge';
    mark.textContent = `granted ${id.slice(0, 8)}`;
    return [' ', mark];
  });

function lineOf(event) {
  const line = copyOf(element.querySelector('template[data-line]'));
  const time = line.querySelector('time');
  const at = new Date(event.stageTimestamp);
  time.dateTime = event.stageTimestamp;
  time.textContent = clock.format(at);
  time.title = `${exact.format(at)} (${event.stageTimestamp})`;
  const { style, text } = outcomeOf(event);
  fill(line, { who: whoOf(event), what: whatOf(event), code: text });
  fill(line, { from: (event.sourceIPs ?? []).join(', '), id: event.auditID.slice(0, 8) });
  line.querySelector('[data-text="what"]').append(...grantMarks(event));
  line.dataset.event = keyOf(event);
  line.toggleAttribute('data-open', isOpen(event));
  line.querySelector('[data-link]').href = `/admin/audit?${new URLSearchParams({ auditId: event.auditID })}`;
  list.querySelector(`[data-open][data-event^="${CSS.escape(event.auditID)} "]`)?.remove();
  line.querySelector('[data-text="code"]').classList.add(style);
  const details = line.querySelector('details');
  // The JSON is written only when the details are opened, because hundreds of events are on the page.
  details.addEventListener('toggle', () => fill(line, { json: JSON.stringify(event, undefined, 2) }), { once: true });
  return line;
}

const keyOf = ({ auditID, stage, verb }) => `${auditID} ${stage} ${verb}`;

function gapOf(reason) {
  const line = copyOf(element.querySelector('template[data-gap]'));
  fill(line, { why: gapMessages[reason] ?? gapMessages.dropped });
  return line;
}

/** Shows the count immediately, and announces it a little later, together with what has arrived meanwhile. */
function showCount() {
  const events = `${seen} ${seen === 1 ? 'event' : 'events'} since you opened this page`;
  const held = paused ? `; paused, ${waiting.length} waiting` : '';
  const gone = dropped === 0 ? '' : `; ${dropped} not shown, because a page keeps ${MAX_LINES}`;
  counter.textContent = `${events}${held}${gone}.`;
  pause.textContent = paused ? `Resume (${waiting.length})` : 'Pause';
  announcing ??= setTimeout(() => {
    announcing = undefined;
    announcement.textContent = counter.textContent;
  }, ANNOUNCE_MS);
}

function show() {
  showing = undefined;
  if (paused) return;
  // One by one, because an outcome removes its beginning, which may wait in front of it.
  for (const entry of waiting) list.prepend(entry());
  waiting = [];
  while (list.childElementCount > MAX_LINES) {
    list.lastElementChild.remove();
    dropped += 1;
  }
  showCount();
}

/** Keeps a function that draws an event until it is shown. */
function add(draw) {
  if (empty !== null) empty.hidden = true;
  waiting.push(draw);
  if (waiting.length > MAX_LINES) {
    waiting.shift();
    dropped += 1;
  }
  if (paused) showCount();
  else showing ??= setTimeout(show, SHOW_MS);
}

/** Each look at this page is an event as well, and would push the others down. */
const isOwnRead = ({ annotations }) =>
  annotations?.['portcullis.dev/event'] === 'admin-read' &&
  annotations['portcullis.dev/account'] === element.dataset.withoutReadsOf;

/** Shows an event, unless it or its outcome is on the page already. */
function addEvent(event) {
  if (isOwnRead(event)) return;
  const key = keyOf(event);
  if (known.has(key) || (isOpen(event) && known.has(keyOf({ ...event, stage: 'ResponseComplete' })))) return;
  known.add(key);
  if (known.size > MAX_KNOWN) known.delete(known.values().next().value);
  seen += 1;
  add(() => lineOf(event));
}

const MISSED_ATTEMPTS = 4;

/** Reads what was written between the page and the stream, and says so where it cannot. */
async function addMissed(url) {
  for (let attempt = 1; attempt <= MISSED_ATTEMPTS; attempt += 1) {
    const response = await fetch(url, { headers: { Accept: 'application/json' } }).catch(() => undefined);
    // Nothing is missing of a past that the page does not have.
    if (response?.status === 404) return;
    if (response?.ok === true) {
      const { events, complete, unreadable } = await response.json();
      for (const event of events.toReversed()) addEvent(event);
      if (complete && unreadable === 0) return;
      break;
    }
    // Another search of this user has to end first.
    const seconds = Number(response?.headers.get('Retry-After') ?? 1);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
  add(() => gapOf('unread'));
}

let isMissedRead = false;

pause.addEventListener('click', () => {
  paused = !paused;
  if (!paused) show();
  showCount();
});

follow(element, {
  on: {
    message(message) {
      addEvent(JSON.parse(message.data));
    },
    gap(message) {
      const { reason } = JSON.parse(message.data);
      add(() => gapOf(reason));
    },
    open() {
      pause.hidden = false;
      if (empty !== null) empty.hidden = seen > 0 || list.childElementCount > 0;
      if (!isMissedRead) void addMissed(element.dataset.missed);
      isMissedRead = true;
    },
  },
  lost: () => add(() => gapOf('lost')),
});
showCount();
