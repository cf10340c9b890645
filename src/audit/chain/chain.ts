/**
 * The chain: every line carries the hash of the one before, so that the next line shows if one was changed,
 * removed or moved.
 *
 * An attacker who can write to the files rewrites all later lines as well. So lines are signed, with a key that is
 * not stored with the files, and their position is kept elsewhere (anchors.ts): the attacker cannot rewrite these.
 */
import { createPrivateKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import type { AuditEvent } from '../../core/audit/event.ts';
import type { LinePosition } from '../types.ts';
import { CHAIN_SEED, hashOf, chainAnnotations, withSignature, type ChainHead } from './chain-facts.ts';
import { encodeLine } from '../encode-line.ts';

/** Signs checkpoints and anchors. `SigningKeys.current` of the `config` module has this shape. */
export interface AuditKey {
  readonly kid: string;
  /** EC P-256. */
  readonly privateJwk: JWK;
}

export interface ChainedLine extends LinePosition {
  /** Ends in a newline. */
  readonly line: Buffer;
  /** Returns `line` once more. */
  readonly again: () => Buffer;
}

const NEWLINE = Buffer.from('\n');

export class Chain {
  #signer: { readonly key: AuditKey; readonly object: KeyObject } | undefined;
  readonly #key: AuditKey | undefined;
  #head: ChainHead = { chain: randomBytes(16).toString('hex'), seq: 0, hash: CHAIN_SEED };

  constructor(key?: AuditKey) {
    this.#key = key;
  }

  /** The last line; `seq` is 0 before the first. */
  get head(): ChainHead {
    return this.#head;
  }

  /**
   * Gives an event its position.
   * @throws TypeError when the event is no JSON value: then nothing has happened, and the next event takes the
   * position
   */
  append(event: AuditEvent): ChainedLine {
    const facts = chainAnnotations(this.#head);
    const again = (): Buffer => encodeLine(event, facts);
    return this.#take(again(), again);
  }

  /**
   * Does the same as `append`, signed if there is a key: ES256 over the line without the signature. Only the
   * signature is written. A whole JWS would look like a credential to everything that searches for leaked tokens,
   * including the encoder of this module.
   * @param key absent: the key with which the chain was begun
   */
  appendSigned(event: AuditEvent, key = this.#key): ChainedLine {
    const line = encodeLine(event, chainAnnotations(this.#head));
    if (key === undefined) return this.#take(line);
    const unsigned = line.subarray(0, -1);
    const signature = sign('sha256', unsigned, { key: this.#objectOf(key), dsaEncoding: 'ieee-p1363' });
    return this.#take(Buffer.concat([withSignature(unsigned, signature.toString('base64url')), NEWLINE]));
  }

  #objectOf(key: AuditKey): KeyObject {
    if (this.#signer?.key !== key) {
      this.#signer = { key, object: createPrivateKey({ key: { ...key.privateJwk }, format: 'jwk' }) };
    }
    return this.#signer.object;
  }

  #take(line: Buffer, again = (): Buffer => line): ChainedLine {
    const { chain, seq } = this.#head;
    this.#head = { chain, seq: seq + 1, hash: hashOf(line.subarray(0, -1)) };
    return { line, again, chain, seq: seq + 1 };
  }
}
