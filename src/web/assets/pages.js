/**
 * Times in the reader's own zone. Without this script they are in UTC.
 *
 * The text of a `<time datetime>` becomes local, and its title is the exact time in UTC. With `data-seconds` the
 * text has seconds; with `data-ago` the title says how long ago that was, too. With `data-left` the text is how long it is
 * until then. `data-zone` gets the name of the zone.
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

/** The same texts as on the server. */
function left(minutes) {
  if (minutes <= 0) return 'over';
  if (minutes === 1) return 'less than 1 min left';
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return `${[hours > 0 && `${hours} h`, rest > 0 && `${rest} min`].filter(Boolean).join(' ')} left`;
}

function showMoment(time) {
  const instant = new Date(time.dateTime);
  if (Number.isNaN(instant.valueOf())) return;
  if (time.dataset.left !== undefined) {
    time.textContent = left(Math.ceil((instant.valueOf() - Date.now()) / 60_000));
    time.title = toMinutes.format(instant);
    return;
  }
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
  for (const time of document.querySelectorAll('time[data-ago], time[data-left]')) showMoment(time);
}, 30_000);

/** `2026-11-25T14:00` in the reader's own time, or undefined for a text that is no such time. */
function localMoment(instant) {
  const pad = (number) => String(number).padStart(2, '0');
  const day = [instant.getFullYear(), pad(instant.getMonth() + 1), pad(instant.getDate())].join('-');
  return `${day}T${pad(instant.getHours())}:${pad(instant.getMinutes())}`;
}

/** Fields with a time: typed and shown in the reader's own time, sent in UTC. Ages such as `12h` stay as they are. */
for (const field of document.querySelectorAll('input[data-moment]')) {
  const sent = new Date(field.value);
  if (/^\d{4}-.*T.*Z$/.test(field.value) && !Number.isNaN(sent.valueOf())) field.value = localMoment(sent);
  field.form.addEventListener('submit', () => {
    const typed = new Date(/^\d{4}-\d\d-\d\d$/.test(field.value) ? `${field.value}T00:00` : field.value);
    if (/^\d{4}-/.test(field.value) && !Number.isNaN(typed.valueOf())) field.value = typed.toISOString();
  });
}
for (const zone of document.querySelectorAll('[data-moment-zone]')) zone.textContent = timeZone;

/** Links to a whole day: the reader's own day, and not that of UTC. */
for (const link of document.querySelectorAll('a[data-days-before]')) {
  const begin = (daysBefore) => {
    const day = new Date();
    day.setHours(0, 0, 0, 0);
    day.setDate(day.getDate() - daysBefore);
    return `${day.toISOString().slice(0, 19)}Z`;
  };
  const before = Number(link.dataset.daysBefore);
  const url = new URL(link.href);
  url.searchParams.set('since', begin(before));
  if (before > 0) url.searchParams.set('until', begin(before - 1));
  link.href = url;
  if (location.search === url.search) link.setAttribute('aria-current', 'true');
}
