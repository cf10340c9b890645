/**
 * Moments in the reader's own zone. Nothing depends on it: without it they stand there in UTC.
 *
 * Of `<time datetime>` the words become local and the title has the exact instant in UTC; with `data-seconds` the words have seconds, with
 * `data-relative` they say how long ago it was. `data-zone` gets the zone's name.
 */
const toMinutes = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const toSeconds = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const { timeZone } = toMinutes.resolvedOptions();

/** As the server words it, so that nothing jumps when this takes over. */
function ago(seconds) {
  if (seconds < 60) return 'just now';
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? '1 day ago' : `${days} days ago`;
}

function showMoment(time) {
  const instant = new Date(time.dateTime);
  if (Number.isNaN(instant.valueOf())) return;
  const { relative, seconds } = time.dataset;
  const local = (seconds === undefined ? toMinutes : toSeconds).format(instant);
  time.title = relative === undefined ? time.dateTime : `${toSeconds.format(instant)} (${time.dateTime})`;
  time.textContent = relative === undefined ? local : ago((Date.now() - instant.valueOf()) / 1000);
}

/** Also for what a script has just put into the page. */
export function showMoments(within = document) {
  for (const time of within.querySelectorAll('time[datetime]')) showMoment(time);
}

showMoments();
for (const zone of document.querySelectorAll('[data-zone]')) zone.textContent = timeZone;
setInterval(() => {
  for (const time of document.querySelectorAll('time[data-relative]')) showMoment(time);
}, 30_000);
