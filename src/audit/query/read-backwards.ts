/** Reads the lines of a plain file from its end, because a reader of the audit log wants the newest first. */
import type { FileHandle } from 'node:fs/promises';

/** One chunk is examined in one turn of the event loop, in which no request is served: a millisecond. */
const CHUNK_BYTES = 64 * 1024;
/** Longer than any line that Portcullis writes. */
const LONGEST_LINE = 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * Yields the lines of each chunk, newest first, without their newlines. A last line without one is still being
 * written, and is left out; of a line that is too long only a part comes, which no reader takes for an event.
 */
export async function* readBackwards(file: FileHandle): AsyncGenerator<readonly Buffer[]> {
  let end = (await file.stat()).size;
  /** The beginning of what has been read, whose own beginning is further in front. */
  let rest: Buffer = Buffer.alloc(0);
  let isLast = true;
  while (end > 0) {
    const from = Math.max(0, end - CHUNK_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(end - from), 0, end - from, from);
    // Truncated meanwhile: what was behind is gone.
    if (bytesRead < end - from) return;
    end = from;
    const pieces = linesOf(Buffer.concat([buffer, rest]));
    rest = from === 0 ? Buffer.alloc(0) : (pieces.shift() ?? Buffer.alloc(0));
    if (isLast && pieces.length > 0) {
      pieces.pop();
      isLast = false;
    }
    yield pieces.toReversed();
    if (rest.length > LONGEST_LINE) rest = rest.subarray(0, 1);
  }
}

function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let at = 0;
  for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, at)) {
    lines.push(bytes.subarray(at, end));
    at = end + 1;
  }
  lines.push(bytes.subarray(at));
  return lines;
}
