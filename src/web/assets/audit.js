/**
 * The live record. Each line is shown once, the newest on top; what comes while it is paused waits, and what is too much for a page is let go
 * of and counted.
 */
import { copyOf, fill, follow } from './live.js';

const MOST_LINES = 500;
/** Lines that come close together are shown together. */
const SHOW_MS = 100;
/** A screen reader hears a count, and not at each line. */
const SAY_MS = 4000;

const element = document.querySelector('[data-live]');
const list = element.querySelector('[data-lines]');
const pause = element.querySelector('[data-pause]');
const counter = element.querySelector('[data-count]');
const said = element.querySelector('[data-said]');
const empty = element.querySelector('[data-empty]');
const gapWords = JSON.parse(element.dataset.words);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

let waiting = [];
let paused = false;
let seen = 0;
let dropped = 0;
let showing;
let saying;

const fact = ({ annotations }, name) => annotations?.[`portcullis.dev/${name}`];

/** `get pods/exec web-0 -n default @prod`, or what the gate did and to whom. */
function whatOf(event) {
  const { verb, objectRef: ref, requestURI } = event;
  if (fact(event, 'event') !== undefined) return [verb, fact(event, 'target')].filter(Boolean).join(' ');
  const cluster = fact(event, 'cluster');
  const resource = ref?.resource === undefined ? requestURI : [ref.resource, ref.subresource].filter(Boolean).join('/');
  const where = ref?.namespace === undefined ? '' : `-n ${ref.namespace}`;
  return [verb, resource, ref?.name, where, cluster === undefined ? '' : `@${cluster}`].filter(Boolean).join(' ');
}

function codeOf({ responseStatus, stage }) {
  const code = responseStatus?.code ?? 0;
  return {
    look: code >= 500 ? 'warn' : code >= 400 ? 'bad' : 'ok',
    words: stage === 'ResponseStarted' ? `${code} begun` : String(code),
  };
}

function lineOf(event) {
  const line = copyOf(element.querySelector('template[data-line]'));
  const time = line.querySelector('time');
  const at = new Date(event.stageTimestamp);
  time.dateTime = event.stageTimestamp;
  time.textContent = clock.format(at);
  time.title = `${exact.format(at)} (${event.stageTimestamp})`;
  const { look, words } = codeOf(event);
  const reason = fact(event, 'reason');
  const who = event.user?.username ?? '';
  fill(line, {
    who: who === '' ? 'nobody known' : who,
    what: reason === undefined ? whatOf(event) : `${whatOf(event)} [${reason}]`,
  });
  fill(line, { code: words, from: (event.sourceIPs ?? []).join(', ') });
  line.querySelector('[data-text="code"]').classList.add(look);
  const details = line.querySelector('details');
  // Written out only for who asks: hundreds of lines are on the page.
  details.addEventListener('toggle', () => fill(line, { json: JSON.stringify(event, undefined, 2) }), { once: true });
  return line;
}

function gapOf(reason) {
  const line = copyOf(element.querySelector('template[data-gap]'));
  fill(line, { why: gapWords[reason] ?? gapWords.dropped });
  return line;
}

/** Seen at once, and said a little later, together with what has come meanwhile. */
function sayCount() {
  const lines = `${seen} ${seen === 1 ? 'line' : 'lines'} since you opened this page`;
  const held = paused ? `; paused, ${waiting.length} waiting` : '';
  const gone = dropped === 0 ? '' : `; ${dropped} not shown, because a page keeps ${MOST_LINES}`;
  counter.textContent = `${lines}${held}${gone}.`;
  pause.textContent = paused ? `Resume (${waiting.length})` : 'Pause';
  saying ??= setTimeout(() => {
    saying = undefined;
    said.textContent = counter.textContent;
  }, SAY_MS);
}

function show() {
  showing = undefined;
  if (paused) return;
  list.prepend(...waiting.map((entry) => entry()).toReversed());
  waiting = [];
  while (list.childElementCount > MOST_LINES) {
    list.lastElementChild.remove();
    dropped += 1;
  }
  sayCount();
}

/** What is kept until it is shown: the way to draw it. */
function add(draw) {
  empty.hidden = true;
  waiting.push(draw);
  if (waiting.length > MOST_LINES) {
    waiting.shift();
    dropped += 1;
  }
  if (paused) sayCount();
  else showing ??= setTimeout(show, SHOW_MS);
}

pause.addEventListener('click', () => {
  paused = !paused;
  if (!paused) show();
  sayCount();
});

follow(element, {
  on: {
    message(message) {
      seen += 1;
      const event = JSON.parse(message.data);
      add(() => lineOf(event));
    },
    gap(message) {
      const { reason } = JSON.parse(message.data);
      add(() => gapOf(reason));
    },
    open() {
      pause.hidden = false;
      empty.hidden = seen > 0 || list.childElementCount > 0;
    },
  },
  lost: () => add(() => gapOf('lost')),
});
sayCount();
