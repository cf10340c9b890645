/** Encodes one event as one line of JSON. */
import type { AuditEvent } from '../core/audit/event.ts';

/**
 * Characters that JSON leaves as they are although a reader may not: DEL and the C1 controls (0x9B drives
 * terminals), the line separators that some tools split at, and marks that turn the direction of text. An attacker
 * chooses a user agent or an object's name that looks like another event when it is shown in a terminal or cut at
 * U+2028, so all of them are escaped.
 */
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * The last line of defence: `core` never puts a credential into an event, but a client can put one into its own
 * user agent or into an object's name. Dotted text in which a part begins as a JSON object does is a signed or
 * sealed token (RFC 7515 §3.1). The lookbehind keeps the search linear in hostile text.
 */
const DOTTED = /(?<![\w-])[\w-]+(?:\.[\w-]*){2,}/g;

const withoutTokens = (_key: string, value: unknown): unknown =>
  typeof value === 'string' && value.includes('eyJ')
    ? value.replace(DOTTED, (run) => (run.includes('eyJ') ? '[token removed]' : run))
    : value;

const DELETE = 0x7f;

/**
 * Encodes an event so that it is one line whatever its values are, and still JSON that any parser reads back to
 * the same text.
 * @param annotations further ones, as members of a JSON object, without a comma at either end; they come last in
 * the line
 * @returns UTF-8, ending in a newline
 * @throws TypeError when the event is no JSON value (a programming error)
 */
export function encodeLine(event: AuditEvent, annotations?: string): Buffer {
  const value = annotations === undefined ? event : annotatedLast(event);
  const plain = JSON.stringify(value);
  // Checking every value costs as much as all the rest, and is only needed for the few lines that may contain a
  // token. JSON cannot escape these letters: it writes them as they are. Searching for one letter costs a tenth of
  // searching for three.
  const hides = plain.includes('J') && plain.includes('eyJ');
  const json = hides ? JSON.stringify(value, withoutTokens) : plain;
  const text = `${annotations === undefined ? json : withMembers(json, annotations)}\n`;
  const line = Buffer.from(text);
  // Of the unsafe characters only DEL is ASCII.
  return line.length === text.length && !line.includes(DELETE) ? line : Buffer.from(text.replace(UNSAFE, escaped));
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * Annotations are an event's last member, so they are added to the text. That costs a third of encoding a larger
 * object.
 */
const withMembers = (json: string, members: string): string =>
  `${json.slice(0, -2)}${json.endsWith('{}}') ? '' : ','}${members}}}`;

/** Moves annotations to the end. `portcullisEvent` and `requestEvent` create them there already. */
function annotatedLast(event: AuditEvent): AuditEvent {
  if (lastMember(event) === 'annotations') return event;
  const { annotations, ...rest } = event;
  return { ...rest, annotations: { ...annotations } };
}

function lastMember(event: AuditEvent): string {
  let last = '';
  for (const member in event) last = member;
  return last;
}
