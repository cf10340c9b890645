/** A parser of server-sent events (WHATWG HTML, 9.2.6) from an untrusted server. */
import { cliError } from '../errors.ts';

export interface ServerEvent {
  /** `message` where the event has no name. */
  readonly event: string;
  /** Empty where only the id has changed. */
  readonly data: string;
  /** The position to continue from. */
  readonly id: string | undefined;
}

/** Up to four characters, which may arrive in pieces. */
const END = /\r\n\r\n|\n\n|\r\r/;

/** Characters of one event: far longer than an audit event. */
const LONGEST = 1024 * 1024;

/**
 * @returns each event, and each id that comes without one
 * @throws AppError `upstream_unavailable` for an event without an end
 */
export async function* serverEvents(chunks: AsyncIterable<Buffer>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  // Chunks of an unfinished event. Each is searched once: with tiny chunks, searching all of them each time would
  // take quadratic time.
  let rest: string[] = [];
  let length = 0;
  let last = '';
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    rest.push(text);
    length += text.length;
    const ended = END.test(last + text);
    last = (last + text).slice(-3);
    const blocks = ended ? rest.join('').split(END) : [];
    if (ended) {
      rest = [blocks.pop() ?? ''];
      length = rest[0]?.length ?? 0;
      last = rest[0]?.slice(-3) ?? '';
    }
    if (length > LONGEST) {
      throw cliError('upstream_unavailable', 'The server sent an event without an end.', 'tell your platform team', {
        reason: 'answer_too_long',
      });
    }
    for (const block of blocks) yield eventOf(block);
  }
}

function eventOf(block: string): ServerEvent {
  let event = 'message';
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === 'event') event = value;
    if (name === 'data') data.push(value);
    // The id is sent back in a header: RFC 9110 allows nothing else there, and our ids have nothing else.
    if (name === 'id' && /^[\w.-]{1,128}$/.test(value)) id = value;
  }
  return { event, data: data.join('\n'), id };
}
