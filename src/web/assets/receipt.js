/**
 * The receipt of a revocation, updated as replicas confirm it.
 */
import { byName, copyOf, fill, follow, spanOfMs } from './live.js';

const element = document.querySelector('[data-live]');

function rowOf({ id, state, ms, streamsClosed }) {
  const row = copyOf(element.querySelector(`template[data-row="${state}"]`));
  fill(row, {
    id,
    streams: String(streamsClosed ?? '–'),
    after: ms === undefined ? '–' : spanOfMs(ms),
  });
  return row;
}

function show(result) {
  for (const message of element.querySelectorAll('[data-complete]')) {
    message.hidden = message.dataset.complete !== String(result.complete);
  }
  fill(element, {
    sessions: String(result.sessions),
    streamsClosed: String(result.streamsClosed),
    elapsed: spanOfMs(result.elapsedMs),
    missing: (result.missing ?? []).join(', '),
    replicas: result.replicas.length === 1 ? '1 replica' : `${result.replicas.length} replicas`,
  });
  element.querySelector('[data-rows]').replaceChildren(...byName(result.replicas).map(rowOf));
  if (result.complete) document.title = document.title.replace('under way', 'complete');
}

if (element !== null) {
  follow(element, {
    on: { receipt: (event) => show(JSON.parse(event.data)) },
    ended: (reason) => reason === 'complete' || reason === 'too_old',
  });
}
