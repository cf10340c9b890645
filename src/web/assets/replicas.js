/**
 * The replicas, as they renew their leases. The server sends them once a second. Where nothing comes, whatever became of
 * the connection, a row says no more that a replica serves: nothing stays green that is not known.
 */
import { sortedById, copyOf, fill, follow, formatMs } from './live.js';

const element = document.querySelector('[data-live]');
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

/** Longer than a few of the server's messages take on a slow network. */
const UNKNOWN_MS = 5000;
const LOOK_MS = 1000;

let known = JSON.parse(element.dataset.known);
let knownAt = new Date();

function rowOf({ id, state, self, seenMsAgo, number, streamsCut }) {
  const row = copyOf(element.querySelector(`template[data-row="${state}"]`));
  row.querySelector('[data-when="self"]').hidden = !self;
  fill(row, { id, seen: `${formatMs(seenMsAgo)} ago`, number: String(number), streamsCut: String(streamsCut) });
  fill(row, { since: clock.format(knownAt) });
  return row;
}

/** Elsewhere on the page, what is no longer so goes as well. */
function showWhole(replicas) {
  const states = replicas.map(({ state }) => state);
  const whole = states.includes('unknown') ? 'unknown' : states.every((state) => state === 'live') ? 'live' : 'lapsed';
  for (const text of document.querySelectorAll('[data-replicas]')) text.hidden = text.dataset.replicas !== whole;
}

function draw(replicas) {
  showWhole(replicas);
  fill(element, { count: String(replicas.length) });
  element.querySelector('[data-rows]').replaceChildren(...sortedById(replicas).map(rowOf));
}

function show({ replicas }) {
  known = replicas;
  knownAt = new Date();
  draw(replicas);
}

setInterval(() => {
  const silentMs = Date.now() - knownAt.valueOf();
  if (silentMs < UNKNOWN_MS) return;
  draw(known.map((replica) => ({ ...replica, state: 'unknown', seenMsAgo: replica.seenMsAgo + silentMs })));
}, LOOK_MS);

follow(element, { on: { replicas: (event) => show(JSON.parse(event.data)) } });
