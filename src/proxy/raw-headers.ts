/** Reads flat header lists: name, value, name, value, … as Node and undici give them, one character a byte. */
export { valuesOf } from '../core/http/header-names.ts';

/**
 * Returns undici's raw headers as strings. Bytes stay bytes: header values are not UTF-8 by any standard (RFC 9110
 * §5.5).
 * @param raw a flat list of buffers or strings; anything else has no separable lines and throws
 */
export function flatHeaders(raw: unknown): readonly string[] {
  if (!Array.isArray(raw)) throw new TypeError('raw headers are a flat list');
  return raw.map((part: unknown) => {
    if (typeof part === 'string') return part;
    if (Buffer.isBuffer(part)) return part.toString('latin1');
    if (part instanceof Uint8Array)
      return Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString('latin1');
    throw new TypeError('a raw header is text or bytes');
  });
}
