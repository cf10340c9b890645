/**
 * Server-sent events as they come (WHATWG HTML, 9.2.6), from a server that may say anything.
 */
import { cliError } from '../errors.ts';

export interface ServerEvent {
  /** `message` where it has no name of its own. */
  readonly event: string;
  /** Empty where only the id has moved. */
  readonly data: string;
  /** Where to go on from. */
  readonly id: string | undefined;
}

/** Up to four characters, which may come in pieces. */
const END = /\r\n\r\n|\n\n|\r\r/;

/** Characters of one event: far longer than a line of the record. */
const LONGEST = 1024 * 1024;

/**
 * @returns each event, and each id that comes without one
 * @throws AppError `upstream_unavailable` for an event that does not end
 */
export async function* serverEvents(chunks: AsyncIterable<Buffer>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  // Pieces of an event that has not ended. Looked through once each: in tiny ones, all of it anew would cost its square.
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
    // It goes back in a header: RFC 9110 takes nothing else there, and ours have nothing else.
    if (name === 'id' && /^[\w.-]{1,128}$/.test(value)) id = value;
  }
  return { event, data: data.join('\n'), id };
}
