/**
 * Where a fresh sign-in leads back to: a page of ours below `/admin`, and nothing else.
 *
 * Threat: an open redirect at the end of a sign-in, where people look at the address least. So what was asked for is never passed on: it is
 * taken apart, each part is judged, and the path is built anew from the parts.
 */

/** A confirmation page with a reason and an account has some hundred; what is longer was not made by a page of ours. */
const MAX_LENGTH = 2048;

const ADMIN = 'admin';

/** A path segment, decoded. @returns undefined where it could be read as more than one, or as a way up */
function segment(encoded: string): string | undefined {
  let text: string;
  try {
    text = decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
  // An account has a slash of its own (`corp/alice`), encoded; two of them in a row, or a way up behind one, it never has.
  const odd = text.split('/').some((part) => part === '' || part === '.' || part === '..');
  return odd || /[\\\p{C}]/u.test(text) ? undefined : text;
}

/**
 * @param to from outside
 * @returns the path with its query, built anew; undefined for everything that is not a page of ours below `/admin`
 */
export function ownAdminPath(to: unknown): string | undefined {
  if (typeof to !== 'string' || to.length > MAX_LENGTH) return undefined;
  // Visible ASCII but `\` and `#`: browsers read a backslash as a slash, and drop tabs and line ends within an address (WHATWG URL §4.4).
  if (!/^[!"$-[\]-~]+$/.test(to)) return undefined;
  const [path = '', ...queries] = to.split('?');
  const [root, area, ...rest] = path.split('/').map((part, index) => (index === 0 ? part : segment(part)));
  if (root !== '' || area !== ADMIN || rest.includes(undefined) || rest[0] === 'api') return undefined;
  const built = ['', ADMIN, ...rest.map((part) => encodeURIComponent(part ?? ''))].join('/');
  const query = new URLSearchParams(queries.join('?')).toString();
  return query === '' ? built : `${built}?${query}`;
}
