/**
 * The return path of a fresh sign-in: a page of ours below `/admin`, or one of access requests, and nothing else.
 *
 * An attacker could use an open redirect at the end of a sign-in, where users look at the address least. So the
 * requested path is never passed on: it is split, each part is checked, and the path is built from the parts.
 */

/**
 * The path of a confirmation page with a reason and an account has some hundred characters; none of our pages
 * builds a longer one.
 */
const MAX_LENGTH = 2048;

const ADMIN = 'admin';

/** Decodes a path segment. @returns undefined where it could be read as several segments, or as a parent folder */
function segment(encoded: string): string | undefined {
  let text: string;
  try {
    text = decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
  // An account contains an encoded slash (`corp/alice`), but never two in a row, nor `.` or `..` as one of its
  // parts.
  const odd = text.split('/').some((part) => part === '' || part === '.' || part === '..');
  return odd || /[\\\p{C}]/u.test(text) ? undefined : text;
}

/**
 * @param to from outside
 * @returns the path with its query, built from checked parts; undefined for everything that is not a page of ours
 *   below `/admin`
 */
export function adminReturnPath(to: unknown): string | undefined {
  if (typeof to !== 'string' || to.length > MAX_LENGTH) return undefined;
  // Visible ASCII except `\` and `#`: browsers read a backslash as a slash, and drop tabs and line ends within an
  // address (WHATWG URL §4.4).
  if (!/^[!"$-[\]-~]+$/.test(to)) return undefined;
  const [path = '', ...queries] = to.split('?');
  const [root, area, ...rest] = path.split('/').map((part, index) => (index === 0 ? part : segment(part)));
  if (root !== '' || area !== ADMIN || rest.includes(undefined) || rest[0] === 'api') return undefined;
  const built = ['', ADMIN, ...rest.map((part) => encodeURIComponent(part ?? ''))].join('/');
  const query = new URLSearchParams(queries.join('?')).toString();
  return query === '' ? built : `${built}?${query}`;
}

/** @returns the path of `/access`, with the role of its form, or of one request; undefined for everything else */
function accessReturnPath(to: unknown): string | undefined {
  if (typeof to !== 'string') return undefined;
  const { role, id } =
    /^\/access(?:\?role=(?<role>[a-z0-9-]{1,63})|\/(?<id>[A-Za-z0-9_-]{22}))?$/.exec(to)?.groups ?? {};
  if (role !== undefined) return `/access?role=${role}`;
  if (id !== undefined) return `/access/${id}`;
  return to === '/access' ? '/access' : undefined;
}

/** @param to from outside @returns the path of a page of ours that asks for a fresh sign-in; undefined for everything else */
export const freshReturnPath = (to: unknown): string | undefined => accessReturnPath(to) ?? adminReturnPath(to);
