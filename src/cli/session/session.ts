/**
 * The cached session, and how long a token of it may be used.
 */
import { createHash } from 'node:crypto';
import {
  arrayAt,
  isRecord,
  numberAt,
  parseRecord,
  recordAt,
  stringAt,
  stringsAt,
  type JsonRecord,
} from '../http/json-shape.ts';
import { isClusterName } from '../http/server-url.ts';
import { defined } from '../../core/defined.ts';

/** A cluster that the user may use, for a kubeconfig. */
export interface ReachableCluster {
  readonly name: string;
  /** https URL. */
  readonly server: string;
  /** PEM; absent: the system's CAs. */
  readonly caData?: string;
}

/** The machine-to-machine endpoints; all on the api host. */
export interface Endpoints {
  readonly token: string;
  readonly revocation: string;
  readonly adminApi: string;
  /** PEM of the CA for the api host; absent: the system's CAs. */
  readonly apiCa?: string;
}

/** The certificate that every token of the session is bound to (RFC 8705), with its key. Both PEM. */
export interface Binding {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface CachedToken {
  readonly token: string;
  /** Epoch milliseconds by this machine's clock. */
  readonly receivedAt: number;
  /** Epoch milliseconds: `receivedAt` plus the token's `expires_in`, so that the server's clock does not matter. */
  readonly expiresAt: number;
}

export interface SignedInUser {
  readonly sessionId: string;
  /** RFC 3339, as the server sent it. */
  readonly sessionExpiresAt: string;
  /** The name of this machine, as the server has it. */
  readonly deviceName?: string;
  readonly account: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly clusters: readonly ReachableCluster[];
  /** What the server warns this user of: an admin or approver who may be unable to prove a fresh sign-in. */
  readonly warning?: string;
}

export interface CachedSession {
  readonly server: string;
  readonly endpoints: Endpoints;
  readonly user: SignedInUser;
  /** Absent: the keyring has it, and `binding.privateKey` is empty unless there are tokens (see secrets.ts). */
  readonly refreshToken?: string;
  /** Why the file has the secrets, where the keyring should; absent: it has them, or the file was chosen. */
  readonly notInKeyring?: string;
  readonly binding: Binding;
  /** By audience. */
  readonly tokens: Readonly<Record<string, CachedToken>>;
  /** The user signed in by a code on another machine, and will do so again. */
  readonly device?: true;
  /** The user signed out while the keyring was unavailable: for nothing but another `logout`, which ends it at the server. */
  readonly signedOut?: true;
}

/** Milliseconds before the end at which a token of the usual lifetime (5 minutes) is renewed at the latest. */
const RENEW_AHEAD_MS = 60_000;

/**
 * Returns how early a token is renewed: a minute, or a fifth of its lifetime where that is shorter, plus up to a
 * quarter of that. The addition is derived from the token, so that every process computes the same, and users who
 * signed in together do not all renew together.
 */
function renewAheadMs(token: CachedToken): number {
  const [byte = 0] = createHash('sha256').update(token.token).digest();
  return Math.min(RENEW_AHEAD_MS, (token.expiresAt - token.receivedAt) / 5) * (1 + byte / 1024);
}

/** Returns the epoch milliseconds at which the token is renewed. */
export const freshUntilMs = (token: CachedToken): number => token.expiresAt - renewAheadMs(token);

/**
 * Returns true until a minute or a little more before the end. A token from the future means that the clock was set
 * back: then its age is unknown.
 * @param now epoch milliseconds
 */
export const isFresh = (token: CachedToken, now: number): boolean =>
  token.receivedAt <= now && now < freshUntilMs(token);

/** Returns true while the server should still accept the token: used when no newer one can be requested. */
export const isAlive = (token: CachedToken, now: number): boolean =>
  token.receivedAt <= now && now < token.expiresAt - renewAheadMs(token) / 4;

/**
 * Returns the expiry that kubectl is told, in epoch milliseconds and whole seconds: a little before the end, so
 * that no request under way meets it, and after `isFresh` has turned false, so that kubectl gets a new token when
 * it asks then.
 */
export const reportedExpiryMs = (token: CachedToken): number =>
  Math.floor((token.expiresAt - renewAheadMs(token) / 2) / 1000) * 1000;

/** Returns an id of a token that does not reveal it. */
export const tokenId = (token: CachedToken): string =>
  createHash('sha256').update(token.token).digest('base64url').slice(0, 22);

/** Bearer tokens are visible ASCII (RFC 6750 §2.1); anything else could end a header line. */
export const isTokenText = (text: string): boolean => /^[\x21-\x7e]{1,16384}$/.test(text);

/** Parses the cache file. It is our own, but a half-edited or older file must not be trusted: undefined then. */
export function parseSession(text: string): CachedSession | undefined {
  const record = parseRecord(text);
  if (record?.['version'] !== 1) return undefined;
  const endpoints = parseEndpoints(recordAt(record, 'endpoints'));
  const user = parseUser(recordAt(record, 'person'));
  const binding = recordAt(record, 'binding');
  const server = stringAt(record, 'server');
  const refreshToken = stringAt(record, 'refreshToken');
  const certificate = binding && stringAt(binding, 'certificate');
  const privateKey = (binding && stringAt(binding, 'privateKey')) ?? '';
  const inKeyring = record['credentialStore'] === 'keyring';
  if (!endpoints || !user || !server || !certificate) return undefined;
  if (inKeyring ? refreshToken !== undefined : !refreshToken || !privateKey) return undefined;
  // Without the key no token can be used.
  const tokens = privateKey === '' ? {} : parseTokens(recordAt(record, 'tokens') ?? {});
  const notInKeyring = stringAt(record, 'notInKeyring');
  return {
    server,
    endpoints,
    user,
    ...defined({ refreshToken, notInKeyring }),
    binding: { certificate, privateKey },
    tokens,
    ...(record['device'] === true ? { device: true } : {}),
    ...(record['signedOut'] === true ? { signedOut: true } : {}),
  };
}

/** Writes the text of the cache file. The key for the user is the one that earlier versions wrote. */
export function formatSession(session: CachedSession): string {
  const { server, endpoints, user, refreshToken, binding, ...rest } = session;
  const inKeyring = refreshToken === undefined;
  const store = inKeyring ? { credentialStore: 'keyring' } : {};
  const kept = inKeyring && Object.keys(rest.tokens).length === 0 ? { certificate: binding.certificate } : binding;
  return JSON.stringify({
    version: 1,
    server,
    endpoints,
    person: user,
    ...store,
    refreshToken,
    binding: kept,
    ...rest,
  });
}

/** Leaves out anything that is no token. */
export function parseTokens(record: JsonRecord): Record<string, CachedToken> {
  const tokens: Record<string, CachedToken> = {};
  for (const [audience, value] of Object.entries(record)) {
    if (!isRecord(value)) continue;
    const token = stringAt(value, 'token');
    const receivedAt = numberAt(value, 'receivedAt');
    const expiresAt = numberAt(value, 'expiresAt');
    if (token === undefined || receivedAt === undefined || expiresAt === undefined || !isTokenText(token)) continue;
    tokens[audience] = { token, receivedAt, expiresAt };
  }
  return tokens;
}

function parseEndpoints(record: JsonRecord | undefined): Endpoints | undefined {
  if (record === undefined) return undefined;
  const token = stringAt(record, 'token');
  const revocation = stringAt(record, 'revocation');
  const adminApi = stringAt(record, 'adminApi');
  const apiCa = stringAt(record, 'apiCa');
  if (token === undefined || revocation === undefined || adminApi === undefined) return undefined;
  return { token, revocation, adminApi, ...defined({ apiCa }) };
}

/** Returns the user of a session, or undefined where a part is missing. */
export function parseUser(record: JsonRecord | undefined): SignedInUser | undefined {
  if (record === undefined) return undefined;
  const sessionId = stringAt(record, 'sessionId');
  const sessionExpiresAt = stringAt(record, 'sessionExpiresAt');
  const account = stringAt(record, 'account');
  const username = stringAt(record, 'username');
  if (!sessionId || !sessionExpiresAt || !account || !username) return undefined;
  const deviceName = stringAt(record, 'deviceName');
  const warning = stringAt(record, 'warning');
  return {
    sessionId,
    sessionExpiresAt,
    ...defined({ deviceName }),
    account,
    username,
    groups: stringsAt(record, 'groups'),
    clusters: parseClusters(arrayAt(record, 'clusters')),
    ...defined({ warning }),
  };
}

/** Leaves out anything that is no cluster: its name and address would end up in a kubeconfig. */
export function parseClusters(values: readonly unknown[]): readonly ReachableCluster[] {
  return values.flatMap((value) => {
    if (!isRecord(value)) return [];
    const name = stringAt(value, 'name');
    const server = stringAt(value, 'server');
    const caData = stringAt(value, 'caData');
    if (name === undefined || server === undefined || !isClusterName(name)) return [];
    if (!URL.canParse(server) || new URL(server).protocol !== 'https:') return [];
    return [{ name, server, ...defined({ caData }) }];
  });
}
