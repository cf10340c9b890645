/**
 * A revocation's receipt as it comes in, replica by replica.
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

function show(answer) {
  for (const words of element.querySelectorAll('[data-complete]')) {
    words.hidden = words.dataset.complete !== String(answer.complete);
  }
  fill(element, {
    sessions: String(answer.sessions),
    streamsClosed: String(answer.streamsClosed),
    elapsed: spanOfMs(answer.elapsedMs),
    missing: (answer.missing ?? []).join(', '),
    replicas: answer.replicas.length === 1 ? '1 replica' : `${answer.replicas.length} replicas`,
  });
  element.querySelector('[data-rows]').replaceChildren(...byName(answer.replicas).map(rowOf));
  if (answer.complete) document.title = document.title.replace('under way', 'complete');
}

if (element !== null) {
  follow(element, {
    on: { receipt: (event) => show(JSON.parse(event.data)) },
    ended: (reason) => reason === 'complete' || reason === 'too_old',
  });
}
