/** Anchors as a verifier receives them: signed ones, or the heads of requests that a webhook's server has kept. */
import { compactVerify, importJWK, type CryptoKey, type JWK } from 'jose';
import * as z from 'zod';
import { ANCHOR_TYPE } from '../chain/anchors.ts';
import type { ChainHead } from '../chain/chain-facts.ts';

const head = {
  chain: z.string().regex(/^[0-9a-f]{32}$/),
  seq: z.number().int().min(1),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
};
const signed = z.object({ ...head, replica: z.string(), at: z.number() });

export interface ReadAnchor extends ChainHead {
  /** Absent in a webhook's head. */
  readonly replica?: string;
  /** Milliseconds since the epoch. */
  readonly at?: number;
}

export interface ReadAnchors {
  readonly anchors: readonly ReadAnchor[];
  /** Texts that are no valid anchor, by their position from 1. */
  readonly invalid: readonly number[];
}

/**
 * @param texts each a compact JWS, or `chain=…; seq=…; hash=…` (the header `Portcullis-Audit-Head`), which is
 * trusted as it is
 * @param keys public keys by `kid`
 */
export async function readAnchors(texts: readonly string[], keys: ReadonlyMap<string, JWK>): Promise<ReadAnchors> {
  const anchors: ReadAnchor[] = [];
  const invalid: number[] = [];
  for (const [index, text] of texts.entries()) {
    const anchor = headOf(text) ?? (await signedAnchor(text, keys));
    if (anchor === undefined) invalid.push(index + 1);
    else anchors.push(anchor);
  }
  return { anchors, invalid };
}

function headOf(text: string): ReadAnchor | undefined {
  const found = /chain=([0-9a-f]{32}); seq=(\d{1,15}); hash=([0-9a-f]{64})\b/.exec(text);
  if (found === null) return undefined;
  const [, chain = '', seq, hash = ''] = found;
  return { chain, seq: Number(seq), hash };
}

async function signedAnchor(text: string, keys: ReadonlyMap<string, JWK>): Promise<ReadAnchor | undefined> {
  const keyOf = async ({ kid = '' }: { readonly kid?: string }): Promise<CryptoKey | Uint8Array> => {
    const jwk = keys.get(kid);
    if (jwk === undefined) throw new Error('the key was not given');
    return importJWK(jwk, 'ES256');
  };
  try {
    const { payload, protectedHeader } = await compactVerify(text, keyOf, { algorithms: ['ES256'] });
    if (protectedHeader.typ !== ANCHOR_TYPE) return undefined;
    return signed.parse(JSON.parse(Buffer.from(payload).toString()));
  } catch {
    return undefined;
  }
}
