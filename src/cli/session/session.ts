/**
 * The signed-in session as this laptop keeps it, and how long a token of it may be used.
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

/** A cluster that the person may use, for a kubeconfig. */
export interface ReachableCluster {
  readonly name: string;
  /** https URL. */
  readonly server: string;
  /** PEM; absent: the system's authorities. */
  readonly caData?: string;
}

/** Where the machine-to-machine endpoints are; all on the api host. */
export interface Endpoints {
  readonly token: string;
  readonly revocation: string;
  readonly adminApi: string;
  /** PEM of the CA for the api host; absent: the system's authorities. */
  readonly apiCa?: string;
}

/** The certificate that every token of the session is bound to (RFC 8705), with its key. Both PEM. */
export interface Binding {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface CachedToken {
  readonly token: string;
  /** Epoch milliseconds by this laptop's clock. */
  readonly receivedAt: number;
  /** Epoch milliseconds: `receivedAt` and the token's `expires_in`, so that the server's clock plays no part. */
  readonly expiresAt: number;
}

export interface SignedInUser {
  readonly sessionId: string;
  /** RFC 3339, as the server said it. */
  readonly sessionExpiresAt: string;
  readonly account: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly clusters: readonly ReachableCluster[];
}

export interface CachedSession {
  readonly server: string;
  readonly endpoints: Endpoints;
  readonly user: SignedInUser;
  readonly refreshToken: string;
  readonly binding: Binding;
  /** By audience. */
  readonly tokens: Readonly<Record<string, CachedToken>>;
  /** The person signed in by a code that they typed elsewhere, and will do so again. */
  readonly device?: true;
}

/** Milliseconds before the end at which a token of usual life (5 minutes) is renewed at the latest. */
const RENEW_AHEAD_MS = 60_000;

/**
 * How early a token is renewed: a minute, or a fifth of its life where that is shorter, and up to a quarter more. The more is the
 * token's own, so that every process says the same and those who signed in together do not all come back together.
 */
function renewAheadMs(token: CachedToken): number {
  const [byte = 0] = createHash('sha256').update(token.token).digest();
  return Math.min(RENEW_AHEAD_MS, (token.expiresAt - token.receivedAt) / 5) * (1 + byte / 1024);
}

/** Epoch milliseconds at which it is to be renewed. */
export const freshUntilMs = (token: CachedToken): number => token.expiresAt - renewAheadMs(token);

/**
 * True until a minute or a little more before the end. A token from the future means that the clock was set back: then nothing is
 * known.
 * @param now epoch milliseconds
 */
export const isFresh = (token: CachedToken, now: number): boolean =>
  token.receivedAt <= now && now < freshUntilMs(token);

/** True while the server should still accept it: for the time when no newer one can be had. */
export const isAlive = (token: CachedToken, now: number): boolean =>
  token.receivedAt <= now && now < token.expiresAt - renewAheadMs(token) / 4;

/**
 * What kubectl is told, epoch milliseconds, in whole seconds as it is told: a little before the end, so that a request under way does not
 * meet it, and after `isFresh` has turned false, so that kubectl gets a new token when it asks then.
 */
export const reportedExpiryMs = (token: CachedToken): number =>
  Math.floor((token.expiresAt - renewAheadMs(token) / 2) / 1000) * 1000;

/** Names a token without showing it. */
export const tokenId = (token: CachedToken): string =>
  createHash('sha256').update(token.token).digest('base64url').slice(0, 22);

/** Bearer tokens are visible ASCII (RFC 6750 §2.1); anything else could end a header line. */
export const isTokenText = (text: string): boolean => /^[\x21-\x7e]{1,16384}$/.test(text);

/**
 * Reads the cache's text again. It is ours, but a half-edited or older file must not be believed: undefined then.
 */
export function parseSession(text: string): CachedSession | undefined {
  const record = parseRecord(text);
  if (record?.['version'] !== 1) return undefined;
  const endpoints = parseEndpoints(recordAt(record, 'endpoints'));
  const user = parseUser(recordAt(record, 'person'));
  const binding = recordAt(record, 'binding');
  const server = stringAt(record, 'server');
  const refreshToken = stringAt(record, 'refreshToken');
  const certificate = binding && stringAt(binding, 'certificate');
  const privateKey = binding && stringAt(binding, 'privateKey');
  if (!endpoints || !user || !server || !refreshToken || !certificate || !privateKey) return undefined;
  const tokens = parseTokens(recordAt(record, 'tokens') ?? {});
  const device = record['device'] === true ? ({ device: true } as const) : {};
  return { server, endpoints, user, refreshToken, binding: { certificate, privateKey }, tokens, ...device };
}

/** The key `person` is that of the cache files that are out there. */
export function formatSession({ server, endpoints, user, ...rest }: CachedSession): string {
  return JSON.stringify({ version: 1, server, endpoints, person: user, ...rest });
}

/** Leaves out what is no token. */
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
  return { token, revocation, adminApi, ...(apiCa === undefined ? {} : { apiCa }) };
}

function parseUser(record: JsonRecord | undefined): SignedInUser | undefined {
  if (record === undefined) return undefined;
  const sessionId = stringAt(record, 'sessionId');
  const sessionExpiresAt = stringAt(record, 'sessionExpiresAt');
  const account = stringAt(record, 'account');
  const username = stringAt(record, 'username');
  if (!sessionId || !sessionExpiresAt || !account || !username) return undefined;
  const clusters = parseClusters(arrayAt(record, 'clusters'));
  return { sessionId, sessionExpiresAt, account, username, groups: stringsAt(record, 'groups'), clusters };
}

/** Leaves out what is no cluster: its name and address would end up in a kubeconfig. */
export function parseClusters(values: readonly unknown[]): readonly ReachableCluster[] {
  return values.flatMap((value) => {
    if (!isRecord(value)) return [];
    const name = stringAt(value, 'name');
    const server = stringAt(value, 'server');
    const caData = stringAt(value, 'caData');
    if (name === undefined || server === undefined || !isClusterName(name)) return [];
    if (!URL.canParse(server) || new URL(server).protocol !== 'https:') return [];
    return [{ name, server, ...(caData === undefined ? {} : { caData }) }];
  });
}
