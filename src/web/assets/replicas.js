/**
 * The replicas, as they renew their leases.
 */
import { sortedById, copyOf, fill, follow, formatMs } from './live.js';

const element = document.querySelector('[data-live]');

function rowOf({ id, state, self, seenMsAgo, number, streamsCut }) {
  const row = copyOf(element.querySelector(`template[data-row="${state}"]`));
  row.querySelector('[data-when="self"]').hidden = !self;
  fill(row, { id, seen: `${formatMs(seenMsAgo)} ago`, number: String(number), streamsCut: String(streamsCut) });
  return row;
}

function show({ replicas }) {
  fill(element, { count: String(replicas.length) });
  element.querySelector('[data-rows]').replaceChildren(...sortedById(replicas).map(rowOf));
}

follow(element, { on: { replicas: (event) => show(JSON.parse(event.data)) } });
