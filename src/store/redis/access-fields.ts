/** Access requests and grants as they are stored in Redis: sealed, and bound to their places. */
import type { AccessRequest, SessionGrant } from '../../core/access/request.ts';
import type { GrantInSession } from '../granted.ts';
import type { StoredRequest } from '../store.ts';
import { accountDigest, grantDigest, sessionDigest } from './keys.ts';
import { REQUEST_FIELDS } from './lua-constants.ts';
import type { RedisParts } from './parts.ts';
import { named, number, text } from './reply.ts';
import { readRequest } from './scripts.ts';

interface SealedRequest extends StoredRequest {
  readonly epoch: string;
}

type SealingParts = Pick<RedisParts, 'sealer' | 'keys' | 'reportTampered'>;

export async function sealRequest(
  { sealer, keys }: SealingParts,
  epoch: string,
  { request, version }: StoredRequest,
): Promise<string> {
  const sealed: SealedRequest = { epoch, request, version };
  return await sealer.seal(sealed, keys.sealedRequest(grantDigest(request.id)));
}

/**
 * Returns the request, or undefined if it cannot be opened, or if a plain field differs from the sealed one: an attacker
 * who can write to Redis could have an end forgotten, or give a request back its time to be approved.
 * @param fields as the scripts return them
 * @param left 1 where it waits although its session has ended
 */
export async function openRequest(
  { sealer, keys, reportTampered }: SealingParts,
  hash: string,
  fields: unknown,
  left: unknown = 0,
): Promise<StoredRequest | undefined> {
  const f = named(REQUEST_FIELDS, fields);
  const sealed = (await sealer.open(text(f.r), keys.sealedRequest(hash))) as SealedRequest | undefined;
  const agrees =
    sealed !== undefined &&
    sealed.epoch === f.ep &&
    String(sealed.version) === f.v &&
    sealed.request.state === f.st &&
    accountDigest(sealed.request.account) === f.acc &&
    sessionDigest(sealed.request.session) === f.sess &&
    String(sealed.request.openUntil) === f.open &&
    endText(sealed.request) === f.end;
  const over = number(left) === 1 ? ({ sessionOver: true } as const) : {};
  if (agrees) return { request: sealed.request, version: sealed.version, ...over };
  reportTampered('access request');
  return undefined;
}

/** The end of a request's grant as scripts take it; '' if it has none. */
export const endText = ({ grant }: AccessRequest): string => (grant === undefined ? '' : String(grant.endsAt));

export interface ReadRequest {
  readonly stored: StoredRequest | undefined;
  /** The store's time, epoch milliseconds, and its epoch: whatever is sealed next is sealed for them. */
  readonly servedMs: number;
  readonly epoch: string;
}

export async function readStored(
  parts: SealingParts & Pick<RedisParts, 'runner' | 'main'>,
  id: string,
): Promise<ReadRequest> {
  const hash = grantDigest(id);
  const [, served, epoch, fields, left] = await parts.runner.run(parts.main, readRequest, [hash]);
  const stored = fields === undefined ? undefined : await openRequest(parts, hash, fields, left);
  return { servedMs: number(served), epoch: text(epoch), stored };
}

export async function sealGrant(
  { sealer, keys }: SealingParts,
  session: string,
  grant: GrantInSession,
): Promise<string> {
  return await sealer.seal(grant, keys.sealedGrant(sessionDigest(session), grantDigest(grant.id)));
}

/** A line of the field `gr`. */
const GRANT_LINE = /^(\S+) (\d+) (\S+)$/;

/**
 * Returns the grants of a session. An attacker who can write to Redis could move a grant to another session, or move its
 * end; so each is sealed for its session, and its sealed end counts.
 * @param shown the store's time, then a line for each grant; '' for none
 */
export async function openGrants(
  { sealer, keys, reportTampered }: SealingParts,
  session: string,
  shown: string,
): Promise<readonly SessionGrant[]> {
  if (shown === '') return [];
  const [served, ...lines] = shown.trimEnd().split('\n');
  const opened = lines.map(async (line) => {
    const [, hash = '', end, value = ''] = GRANT_LINE.exec(line) ?? [];
    const grant = (await sealer.open(value, keys.sealedGrant(session, hash))) as GrantInSession | undefined;
    if (grant !== undefined && String(grant.endsAt) === end) return { ...grant, leftMs: grant.endsAt - number(served) };
    reportTampered('grant');
    return [];
  });
  return (await Promise.all(opened)).flat();
}

/**
 * Seals the grants of a session with the current key. One that cannot be opened stays as it is.
 * @param sessionKey of the session's hash
 * @returns undefined if none can be opened
 */
export async function reencryptGrants(
  { sealer }: Pick<SealingParts, 'sealer'>,
  sessionKey: string,
  field: string,
): Promise<string | undefined> {
  let found = false;
  const lines = field.split('\n').map(async (line) => {
    const [, hash = '', end = '', value = ''] = GRANT_LINE.exec(line) ?? [];
    const context = `${sessionKey}#grant:${hash}`;
    const grant = await sealer.open(value, context);
    if (grant === undefined) return line;
    found = true;
    return `${hash} ${end} ${await sealer.seal(grant, context)}`;
  });
  const next = (await Promise.all(lines)).join('\n');
  return found ? next : undefined;
}
