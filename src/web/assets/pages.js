/**
 * Times in the reader's own zone. Without this script they are in UTC.
 *
 * The text of a `<time datetime>` becomes local, and its title is the exact time in UTC. With `data-seconds` the
 * text has seconds; with `data-ago` the title says how long ago that was, too. `data-zone` gets the name of the zone.
 */
const toMinutes = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const toSeconds = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const { timeZone } = toMinutes.resolvedOptions();

/** The same texts as on the server, so that nothing moves when this script replaces them. */
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
  const { ago: inList, seconds } = time.dataset;
  time.textContent = (seconds === undefined ? toMinutes : toSeconds).format(instant);
  time.title =
    inList === undefined ? time.dateTime : `${ago((Date.now() - instant.valueOf()) / 1000)} (${time.dateTime})`;
}

/** Exported for scripts that add times to the page. */
export function showMoments(within = document) {
  for (const time of within.querySelectorAll('time[datetime]')) showMoment(time);
}

showMoments();
for (const zone of document.querySelectorAll('[data-zone]')) zone.textContent = timeZone;
setInterval(() => {
  for (const time of document.querySelectorAll('time[data-ago]')) showMoment(time);
}, 30_000);
