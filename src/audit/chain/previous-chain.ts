/**
 * The end of the previous chain. A new chain names it in its first line, so that an attacker cannot remove the old
 * one unnoticed.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { chainFacts, hashOf, type ChainHead } from './chain-facts.ts';

/** `O_NONBLOCK`: a named pipe at the path must not block the start. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** The longest lines have some hundred kilobytes. */
const BYTES = 512 * 1024;
const NEWLINE = 0x0a;

/**
 * Reads the end of a file once, at the start, before any request is served.
 * @returns its last complete line that is part of a chain; undefined if there is no such file or line. A line torn
 * by a crash is not complete
 */
export function previousChainHead(path: string): ChainHead | undefined {
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
    // The sink opens the file too, and reports what is wrong with it.
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
