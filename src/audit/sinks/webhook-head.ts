/**
 * The head of a chain, as a line states it. A webhook's server can keep it, and a verifier compares it with the
 * file.
 */
import { hash } from 'node:crypto';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import type { LinePosition } from '../types.ts';

/**
 * @param line with or without its newline
 * @returns `chain=…; seq=…; hash=…`, the hash over the line without its newline; undefined if it is not part of a
 * chain
 */
export function headOf(line: Buffer): string | undefined {
  const annotations = annotationsOf(line);
  const chain = annotations[`${EXTRA_DOMAIN}/chain`];
  const seq = annotations[`${EXTRA_DOMAIN}/seq`];
  // They become a header, so anything but a plain word is rejected.
  if (!isWord(chain) || !isWord(seq)) return undefined;
  return `chain=${chain}; seq=${seq}; hash=${hash('sha256', withoutNewline(line), 'hex')}`;
}

/** @returns the line's position; undefined if it is not part of a chain */
export function positionOf(line: Buffer): LinePosition | undefined {
  const annotations = annotationsOf(line);
  const chain = annotations[`${EXTRA_DOMAIN}/chain`];
  const seq = annotations[`${EXTRA_DOMAIN}/seq`];
  return isWord(chain) && typeof seq === 'string' && /^\d{1,15}$/.test(seq) ? { chain, seq: Number(seq) } : undefined;
}

const isWord = (value: unknown): value is string => typeof value === 'string' && /^[\w-]{1,100}$/.test(value);

const withoutNewline = (line: Buffer): Buffer => (line.at(-1) === 0x0a ? line.subarray(0, -1) : line);

function annotationsOf(line: Buffer): Readonly<Record<string, unknown>> {
  try {
    const event: unknown = JSON.parse(line.toString());
    const annotations: unknown =
      typeof event === 'object' && event !== null && 'annotations' in event ? event.annotations : {};
    return typeof annotations === 'object' && annotations !== null ? { ...annotations } : {};
  } catch {
    return {};
  }
}
