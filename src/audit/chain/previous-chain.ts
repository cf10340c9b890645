/**
 * The end of the previous chain. A new chain names it in its first line, so that an attacker cannot remove the old
 * one unnoticed.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { chainFacts, hashOf, type ChainHead } from './chain-facts.ts';

/** `O_NONBLOCK`: a named pipe at the path must not block the start. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** The longest line that is looked for, as in a search (`query/read-lines.ts`). */
const BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * Reads the end of a file once, at the start, before any request is served.
 * @returns its last complete line that is part of a chain; undefined if there is no such file or line. A line torn
 * by a crash is not complete
 */
export function previousChainHead(path: string): ChainHead | undefined {
  try {
    const { end, isWhole } = endOf(path);
    for (let to = end.lastIndexOf(NEWLINE); to > 0;) {
      const from = end.lastIndexOf(NEWLINE, to - 1) + 1;
      // Its beginning is not here, and the hash of a part would name a line that there never was.
      if (from === 0 && !isWhole) return undefined;
      const line = end.subarray(from, to);
      const facts = chainFacts(line);
      if (facts !== undefined) return { chain: facts.chain, seq: facts.seq, hash: hashOf(line) };
      to = from - 1;
    }
  } catch {
    // The sink opens the file too, and reports what is wrong with it.
  }
  return undefined;
}

function endOf(path: string): { readonly end: Buffer; readonly isWhole: boolean } {
  const file = openSync(path, FLAGS);
  try {
    const about = fstatSync(file);
    if (!about.isFile()) return { end: Buffer.alloc(0), isWhole: true };
    const length = Math.min(about.size, BYTES);
    const end = Buffer.alloc(length);
    const read = readSync(file, end, 0, length, about.size - length);
    return { end: end.subarray(0, read), isWhole: length === about.size };
  } finally {
    closeSync(file);
  }
}
