/** Single values of the file, each with the description that an error shows as expected. */
import { isIP } from 'node:net';
import * as z from 'zod';
import { CONSTRAINTS } from '../core/http/constrained-impersonation.ts';
import { isLoopback } from '../core/http/address.ts';
import { parseProxyUrl, proxyCredentials } from '../core/http/proxy-url.ts';

/** A duration in seconds, written `90s`, `5m`, `12h` in the file. */
export type Seconds = number;

export interface Address {
  readonly host: string;
  readonly port: number;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 * 1024 };

/** @returns seconds of `90s`, `5m`, `12h`; undefined for anything else */
export function parseDuration(text: string): Seconds | undefined {
  const match = /^(\d{1,9})([smh])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (UNIT_SECONDS[match[2] ?? ''] ?? 0);
}

/** @returns bytes of `16KiB`, `1MiB`, `512B`; undefined for anything else */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,9})(B|KiB|MiB)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (UNIT_BYTES[match[2] ?? ''] ?? 0);
}

/** @returns host and port of `0.0.0.0:6443`, `[::]:6443`, `localhost:0`; undefined for anything else */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<host>[A-Za-z0-9._-]+)):(?<port>\d{1,5})$/.exec(text);
  const port = Number(match?.groups?.['port'] ?? Number.NaN);
  const host = match?.groups?.['v6'] ?? match?.groups?.['host'];
  return host === undefined || !(port <= 65_535) ? undefined : { host, port };
}

/** A string that a function parses; `expected` is the description in an error. */
const parsed = <T>(parse: (text: string) => T | undefined, expected: string) =>
  z.string({ error: expected }).transform((text, context) => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.issues.push({ code: 'custom', message: expected, input: text });
    return z.NEVER;
  });

const within = (value: number | undefined, min: number, max: number): number | undefined =>
  value !== undefined && value >= min && value <= max ? value : undefined;

/** Bounds are written as in the file. */
export const duration = (min: string, max: string) =>
  parsed(
    (text) => within(parseDuration(text), parseDuration(min) ?? 0, parseDuration(max) ?? 0),
    `a duration from ${min} to ${max}, such as 90s, 5m or 12h`,
  );

/** @returns seconds of `30d` too */
function parseLongDuration(text: string): Seconds | undefined {
  const days = /^(\d{1,5})d$/.exec(text)?.[1];
  return days === undefined ? parseDuration(text) : Number(days) * 86_400;
}

/** As `duration`, for what lasts days. */
export const longDuration = (min: string, max: string) =>
  parsed(
    (text) => within(parseLongDuration(text), parseLongDuration(min) ?? 0, parseLongDuration(max) ?? 0),
    `a duration from ${min} to ${max}, such as 12h or 30d`,
  );

export const size = (min: string, max: string) =>
  parsed(
    (text) => within(parseSize(text), parseSize(min) ?? 0, parseSize(max) ?? 0),
    `a size from ${min} to ${max}, such as 16KiB`,
  );

export const address = parsed(parseAddress, 'an address with a port, such as "0.0.0.0:6443"');

/** @returns whether it is a network with its prefix; one of length 0 would trust every address */
function isCidr(text: string): boolean {
  const match = /^(?<network>[0-9a-f.:]+)\/(?<prefix>[1-9]\d{0,2})$/i.exec(text);
  const family = isIP(match?.groups?.['network'] ?? '');
  return family !== 0 && Number(match?.groups?.['prefix']) <= (family === 4 ? 32 : 128);
}

export const cidr = parsed(
  (text) => (isCidr(text) ? text : undefined),
  'addresses such as 10.0.0.0/8, fd00::/8 or 192.0.2.7/32',
);

export const integer = (min: number, max: number) => {
  const error = `a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};

export const text = (expected: string) => z.string({ error: expected }).min(1, { error: expected });

export const expression = text('a CEL expression').max(4096, {
  error: 'a CEL expression of at most 4096 characters',
});

/** Prefixes keep the users of two providers apart, and all of them away from Kubernetes' own names. */
export const prefix = z
  .string({ error: 'a prefix such as "corp:"' })
  .regex(/^(?!\s)[ -~]{0,64}$/, { error: 'a prefix of printable ASCII such as "corp:", at most 64 characters' })
  .refine((value) => !/^system/i.test(value), {
    error: 'a prefix that does not begin with "system", which Kubernetes keeps for itself',
  });

/** A prefix is there even where none is set; an empty one has to be written out. */
export const withPrefixes = (given: {
  readonly name: string;
  readonly usernamePrefix?: string;
  readonly groupsPrefix?: string;
}): { readonly usernamePrefix: string; readonly groupsPrefix: string } => ({
  usernamePrefix: given.usernamePrefix ?? `${given.name}:`,
  groupsPrefix: given.groupsPrefix ?? `${given.name}:`,
});

/** A name that is also used in URLs, metrics and log lines: a DNS label (RFC 1123 §2.1). */
export const label = text('a name of lower-case letters, digits and hyphens').regex(
  /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
  {
    error: 'a name of lower-case letters, digits and hyphens, such as prod',
  },
);

const HOST = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export const host = z
  .string({ error: 'a host name' })
  .regex(HOST, { error: 'a lower-case host name without scheme, port and trailing dot, such as prod.k8s.example.com' });

export interface UrlRule {
  /** http is accepted for a loopback host. */
  readonly loopbackHttp: boolean;
  readonly path: 'none' | 'any';
}

/** @returns the URL where it obeys the rule and holds neither user info, query nor fragment */
export function parseUrl(value: string, rule: UrlRule): URL | undefined {
  if (!URL.canParse(value)) return undefined;
  const url = new URL(value);
  const secure =
    url.protocol === 'https:' || (rule.loopbackHttp && url.protocol === 'http:' && isLoopback(url.hostname));
  if (!secure || /[?#]/.test(value)) return undefined;
  // The origin written in another way (upper case, default port, trailing slash, user info) would not equal itself
  // elsewhere.
  if (rule.path === 'none') return url.origin === value ? url : undefined;
  return value === url.origin || value.startsWith(`${url.origin}/`) ? url : undefined;
}

const urlText = (rule: UrlRule, expected: string) =>
  parsed((value) => (parseUrl(value, rule) ? value : undefined), expected);

export const origin = urlText(
  { loopbackHttp: true, path: 'none' },
  'an https URL without path and trailing slash, such as https://portcullis.example.com (http only for a loopback host)',
);

export const httpsOrigin = urlText(
  { loopbackHttp: false, path: 'none' },
  'an https URL without path and trailing slash, such as https://api.portcullis.example.com:6443',
);

export const webhookUrl = urlText(
  { loopbackHttp: true, path: 'any' },
  'an https URL without user, password and query, such as https://siem.example.com/audit (http only for a loopback host)',
);

export const issuerUrl = urlText(
  { loopbackHttp: true, path: 'any' },
  'the issuer’s https URL, exactly as its discovery document says it (http only for a loopback host)',
);

const isBareProxy = (value: string): boolean => {
  const url = /^https?:\/\//.test(value) ? parseProxyUrl(value) : undefined;
  return url?.ok === true && proxyCredentials(url.value) === undefined && url.value.href === `${url.value.origin}/`;
};

/** Name and password are a secret, so they are in a file of their own. */
export const proxySetting = parsed(
  (value) => (value === 'none' || isBareProxy(value) ? value : undefined),
  'none, or http://HOST:PORT or https://HOST:PORT, with name and password in proxyCredentialsFile',
);

/** Printed on terminals and linked on pages, so without control characters. */
export const pageUrl = parsed(
  (value) => (/^[!-~]{1,500}$/.test(value) && parseUrl(value, { loopbackHttp: true, path: 'any' }) ? value : undefined),
  'an https URL of at most 500 characters without user, password, query and fragment, such as https://intranet.example.com/portcullis (http only for a loopback host)',
);

/** `common`, `organizations` and a domain are not accepted: only an id pins the tenant, and is in its tokens. */
export const tenantId = z.string({ error: 'the tenant’s id' }).regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, {
  error: 'the tenant’s id in lower case, such as 11111111-2222-3333-4444-555555555555 (never common or organizations)',
});

export const redisUrl = parsed((value) => {
  if (!URL.canParse(value)) return undefined;
  const url = new URL(value);
  const known = url.protocol === 'redis:' || url.protocol === 'rediss:';
  const bare = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return known && bare && url.hostname !== '' && /^(?:\/\d{0,3})?$/.test(url.pathname) ? value : undefined;
}, 'a URL such as rediss://redis.example.com:6379, with user and password in usernameFile and passwordFile');

/** For which verbs the proxy's account may impersonate at a cluster. */
export const constraint = z
  .enum(CONSTRAINTS, {
    error:
      'off (the verb impersonate), read (constrained impersonation, for what only reads) or all (constrained, for every verb)',
  })
  .default('off');

const CONTACT = 'one line of plain text, at most 200 characters, such as "#platform-help, or platform@example.com"';

/** It is on pages that reject a user. One line, so that it cannot imitate anything else there. */
export const contact = z
  .string({ error: CONTACT })
  .regex(/^(?! )[^\p{C}\p{Zl}\p{Zp}]{1,200}(?<! )$/u, { error: CONTACT })
  .default('your platform team');
