/**
 * The text that SPDY/3 headers are compressed against. Both ends must hold the same bytes: their Adler-32 is e3c6a7c2, which
 * stands at the start of every compressed stream.
 * @see https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/ §2.6.10.1
 */

/** Entries, each behind its length in four bytes, as names and values are in a header block. */
const ENTRIES = (
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow ' +
  'authorization cache-control connection content-base content-encoding content-language content-length ' +
  'content-location content-md5 content-range content-type date etag expect expires from host if-match ' +
  'if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma ' +
  'proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade ' +
  'user-agent vary via warning www-authenticate method get status'
).split(' ');
const MORE_ENTRIES = ['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive', 'origin'];

const CODES =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505' +
  '203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden' +
  '404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable';
const DATES = 'Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT';
const TYPES =
  'chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,' +
  'publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

function prefixed(word: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(word.length);
  return Buffer.concat([length, Buffer.from(word)]);
}

export const DICTIONARY: Buffer = Buffer.concat([
  ...[...ENTRIES, ...MORE_ENTRIES].map(prefixed),
  Buffer.from(CODES + DATES + TYPES),
]);

/** Adler-32 of the dictionary, as zlib names it (RFC 1950 §2.2, DICTID). */
export const DICTIONARY_ID = Buffer.from('e3c6a7c2', 'hex');
