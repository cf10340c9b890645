/** A line's position in a chain, and how it is written. Writer and verifier share this. */
import { hash } from 'node:crypto';
import { defined } from '../../core/defined.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';

/** The `prev` of the first line of a chain. */
export const CHAIN_SEED = '0'.repeat(64);

/**
 * Lines after which a chain is signed again, however busy the server is. More unsigned lines in a row were never
 * written by it.
 */
export const CHECKPOINT_LINES = 1000;

export interface ChainHead {
  /** 128 random bits, hexadecimal. */
  readonly chain: string;
  /** Number of the line, from 1. */
  readonly seq: number;
  /** SHA-256 of the line without its newline, hexadecimal. */
  readonly hash: string;
}

export interface ChainFacts {
  readonly chain: string;
  readonly seq: number;
  readonly prev: string;
  /** The name of an event about the audit log itself (`audit-opened` and others). */
  readonly event?: string;
  /** ES256, base64url. */
  readonly signature?: string;
}

const CHAIN = `${EXTRA_DOMAIN}/chain`;
const SEQ = `${EXTRA_DOMAIN}/seq`;
const PREV = `${EXTRA_DOMAIN}/prev`;
const SIGNATURE = `${EXTRA_DOMAIN}/signature`;

/**
 * They are at the very end of a line, in this order, so that a verifier need not parse the rest. An event's name
 * directly before them is that of the audit log's own event (`portcullisEvent` puts it last). Inside a value
 * quotation marks are escaped, so no value can look like this.
 */
const TAIL =
  /(?:"portcullis\.dev\/event":"(audit-[a-z]{1,20})",)?"portcullis\.dev\/chain":"([0-9a-f]{32})","portcullis\.dev\/seq":"([1-9]\d{0,14})","portcullis\.dev\/prev":"([0-9a-f]{64})"(?:,"portcullis\.dev\/signature":"([\w-]{86})")?\}\}$/;
/** Longer than the longest tail. */
const TAIL_BYTES = 420;
const SIGNATURE_BYTES = `,"${SIGNATURE}":""`.length + 86;

export const hashOf = (line: Uint8Array): string => hash('sha256', line, 'hex');

/**
 * @param line without its newline
 * @returns undefined if it is not a line of a chain, as the server writes them
 */
export function chainFacts(line: Buffer): ChainFacts | undefined {
  const found = TAIL.exec(line.toString('latin1', Math.max(0, line.length - TAIL_BYTES)));
  if (found === null) return undefined;
  const [, event, chain = '', seq = '', prev = '', signature] = found;
  return {
    chain,
    seq: Number(seq),
    prev,
    ...defined({ event, signature }),
  };
}

/**
 * Returns the annotations with an event's position, as members of a JSON object, in the order that `chainFacts`
 * reads.
 */
export const chainAnnotations = ({ chain, seq, hash: prev }: ChainHead): string =>
  `"${CHAIN}":"${chain}","${SEQ}":"${seq + 1}","${PREV}":"${prev}"`;

/** @param unsigned a line without its newline */
export const withSignature = (unsigned: Buffer, signature: string): Buffer =>
  Buffer.concat([unsigned.subarray(0, -2), Buffer.from(`,"${SIGNATURE}":"${signature}"}}`)]);

/** Returns the signed text: the line as it was before the signature was inserted. */
export const withoutSignature = (line: Buffer): Buffer =>
  Buffer.concat([line.subarray(0, -2 - SIGNATURE_BYTES), Buffer.from('}}')]);
