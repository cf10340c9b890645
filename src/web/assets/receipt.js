/**
 * The receipt of a revocation, as the replicas confirm it.
 */
import { sortedById, copyOf, fill, follow, formatMs } from './live.js';

const element = document.querySelector('[data-live]');

function rowOf({ id, state, ms, streamsClosed }) {
  const row = copyOf(element.querySelector(`template[data-row="${state}"]`));
  fill(row, {
    id,
    streams: String(streamsClosed ?? '–'),
    after: ms === undefined ? '–' : formatMs(ms),
  });
  return row;
}

function show(result) {
  for (const notice of element.querySelectorAll('[data-complete]')) {
    notice.hidden = notice.dataset.complete !== String(result.complete);
  }
  fill(element, {
    sessions: String(result.sessions),
    streamsClosed: String(result.streamsClosed),
    elapsed: formatMs(result.elapsedMs),
    took: formatMs(result.elapsedMs),
    missing: (result.missing ?? []).join(', '),
    replicas: result.replicas.length === 1 ? '1 replica' : `${result.replicas.length} replicas`,
  });
  element.querySelector('[data-rows]').replaceChildren(...sortedById(result.replicas).map(rowOf));
  if (result.complete) document.title = document.title.replace('in progress', 'complete');
}

if (element !== null) {
  follow(element, {
    on: { receipt: (event) => show(JSON.parse(event.data)) },
    ended: (reason) => reason === 'complete' || reason === 'too_old',
  });
}
