/**
 * Tells whether all of a ClientHello is there (RFC 8446 §4.1.2, §5.1), before anything is spent on its connection.
 *
 * Only lengths and types are looked at. Whatever passes is judged by OpenSSL, which waits for nothing more of it: it
 * answers, or the handshake fails.
 */

/** All that a client sends before it has a response. A browser's has 2 kB, with keys that withstand quantum computers. */
const MOST_FIRST_FLIGHT_BYTES = 16_384;

const RECORD_HEAD_BYTES = 5;
const MESSAGE_HEAD_BYTES = 4;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** Of every version of TLS. */
const MAJOR_VERSION = 3;

/**
 * @param bytes all that the client has sent
 * @returns partial: more must come of it. An attacker announces a record that never ends behind a whole message, or
 *   sends warnings before it, for which OpenSSL would wait: so its records must be whole, and of handshakes
 */
export function judgeClientHello(bytes: Buffer): 'whole' | 'partial' | 'invalid' | 'too_large' {
  if (bytes.length > MOST_FIRST_FLIGHT_BYTES) return 'too_large';
  let message: Buffer = Buffer.alloc(0);
  let payload = 0;
  for (let at = 0; at < bytes.length;) {
    const version = bytes[at + 1] ?? MAJOR_VERSION;
    if (bytes[at] !== HANDSHAKE || version !== MAJOR_VERSION) return 'invalid';
    if (bytes.length - at < RECORD_HEAD_BYTES) return 'partial';
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return 'invalid';
    at += RECORD_HEAD_BYTES;
    const end = at + length;
    if (end > MOST_FIRST_FLIGHT_BYTES) return 'too_large';
    if (message.length < MESSAGE_HEAD_BYTES)
      message = Buffer.concat([message, bytes.subarray(at, Math.min(end, at + MESSAGE_HEAD_BYTES))]);
    if ((message[0] ?? CLIENT_HELLO) !== CLIENT_HELLO) return 'invalid';
    payload += length;
    if (message.length >= MESSAGE_HEAD_BYTES) {
      const whole = MESSAGE_HEAD_BYTES + message.readUIntBE(1, 3);
      if (whole > MOST_FIRST_FLIGHT_BYTES) return 'too_large';
      if (payload >= whole) return end <= bytes.length ? 'whole' : 'partial';
    }
    at = end;
  }
  return 'partial';
}
