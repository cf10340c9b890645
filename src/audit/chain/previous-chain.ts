/** The end of the chain before: what a new one names in its first line, so that nobody can cut the old one unseen. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { chainFacts, hashOf, type ChainHead } from './chain-facts.ts';

/** `O_NONBLOCK`: a named pipe at the path must not hold up the start. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** The longest lines are some hundred kilobytes. */
const BYTES = 512 * 1024;
const NEWLINE = 0x0a;

/**
 * Reads the end of a file once, at the start, before anything is served.
 * @returns its last whole line that stands in a chain; undefined where there is no such file or line. A line torn by a crash is not whole
 */
export function chainBefore(path: string): ChainHead | undefined {
  try {
    const end = endOf(path);
    for (let to = end.lastIndexOf(NEWLINE); to > 0;) {
      const from = end.lastIndexOf(NEWLINE, to - 1) + 1;
      const line = end.subarray(from, to);
      const facts = chainFacts(line);
      if (facts !== undefined) return { chain: facts.chain, seq: facts.seq, hash: hashOf(line) };
      to = from - 1;
    }
  } catch {
    // The sink opens the file too, and says what is wrong with it.
  }
  return undefined;
}

function endOf(path: string): Buffer {
  const file = openSync(path, FLAGS);
  try {
    const about = fstatSync(file);
    if (!about.isFile()) return Buffer.alloc(0);
    const length = Math.min(about.size, BYTES);
    const end = Buffer.alloc(length);
    return end.subarray(0, readSync(file, end, 0, length, about.size - length));
  } finally {
    closeSync(file);
  }
}
