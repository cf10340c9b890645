/** Reads the lines of a plain file from its end, because a reader of the audit log wants the newest first. */
import type { FileHandle } from 'node:fs/promises';
import { timeOf } from './matcher.ts';

/** One chunk is examined in one turn of the event loop, in which no request is served: a millisecond. */
const CHUNK_BYTES = 64 * 1024;
/** Longer than any line that Portcullis writes. */
const LONGEST_LINE = 1024 * 1024;
/** Nearly always has a whole line in it. */
const PROBE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/**
 * Returns the beginning of a line that is not earlier than a time, as far in front as is quickly found: where a search
 * for what was long ago begins, so that it need not read the newer part of a large file.
 * @param time of a file that is in the order of time behind it
 */
export async function endBefore(file: FileHandle, time: string): Promise<number> {
  let end = (await file.stat()).size;
  let [low, high] = [0, end];
  while (high - low > CHUNK_BYTES) {
    const middle = Math.floor((low + high) / 2);
    const line = await firstLine(file, middle);
    // Only what was read moves the end. Where no time is found the search goes on behind it, and reads more.
    if (line !== undefined && line.time >= time) [end, high] = [line.at, middle];
    else low = middle;
  }
  return end;
}

/** Returns the first line with a time that begins behind an offset. */
async function firstLine(
  file: FileHandle,
  offset: number,
): Promise<{ readonly at: number; readonly time: string } | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(PROBE_BYTES), 0, PROBE_BYTES, offset);
  const bytes = buffer.subarray(0, bytesRead);
  let at = bytes.indexOf(NEWLINE) + 1;
  for (let end = bytes.indexOf(NEWLINE, at); at > 0 && end !== -1; end = bytes.indexOf(NEWLINE, at)) {
    const time = timeOf(bytes.subarray(at, end));
    if (time !== undefined) return { at: offset + at, time };
    at = end + 1;
  }
  return undefined;
}

/**
 * Yields the lines of each chunk, newest first, without their newlines. A last line without one is still being
 * written, and is left out; of a line that is too long only a part comes, which no reader takes for an event.
 *
 * They are views of one memory that the next chunk overwrites. With memory of its own for each chunk, all that this
 * process holds is searched for garbage once in 64 MB: more work than the search itself.
 * @param before the offset where it begins. Default: the end of the file
 */
export async function* readBackwards(file: FileHandle, before?: number): AsyncGenerator<readonly Buffer[]> {
  let end = before ?? (await file.stat()).size;
  let memory = Buffer.allocUnsafeSlow(2 * CHUNK_BYTES);
  /** Bytes of the beginning of what has been read, whose own beginning is further in front. They are at its end. */
  let rest = 0;
  let isLast = true;
  while (end > 0) {
    const length = Math.min(CHUNK_BYTES, end);
    if (length + rest > memory.length) memory = grown(memory, rest);
    const at = memory.length - rest - length;
    const { bytesRead } = await file.read(memory, at, length, end - length);
    // Truncated meanwhile: what was behind is gone.
    if (bytesRead < length) return;
    end -= length;
    const lines = linesOf(memory.subarray(at));
    const first = end === 0 ? undefined : lines.shift();
    if (isLast && lines.length > 0) {
      lines.pop();
      isLast = false;
    }
    yield lines.toReversed();
    rest = 0;
    if (first === undefined) continue;
    rest = first.length > LONGEST_LINE ? 1 : first.length;
    memory.copyWithin(memory.length - rest, at, at + rest);
  }
}

/** Returns twice the memory, with the same bytes at its end. */
function grown(memory: Buffer, rest: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafeSlow(2 * memory.length);
  memory.copy(larger, larger.length - rest, memory.length - rest);
  return larger;
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
