/**
 * The part of RFC 8628 that oidc-provider leaves to its host: how often a device may poll, responses without a
 * link that contains the code, and endpoints on the api listener only.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { LRUCache } from 'lru-cache';
import { atMost } from '../core/cache-bound.ts';
import type { Clock } from '../contracts/clock.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import type { Config } from '../config/config.ts';
import { clientAddress } from './client-address.ts';
import { isRecent } from '../core/time.ts';
import type { TokenAudit } from './audit-events.ts';

/**
 * Enough time to walk to another machine and to sign in there, and no more: a user whom an attacker talks into
 * typing a code has the same time.
 */
export const DEVICE_CODE_SECONDS = 600;
/** How long after its expiry a code is still known, so that the device gets `expired_token` and not an unknown code. */
export const DEVICE_CODE_KEPT_SECONDS = 300;

/** RFC 8628 §3.2, §3.5. */
const INTERVAL_SECONDS = 5;
/** Networks are not punctual: a device that waits as it was told must not be told to slow down. */
const TOLERANCE_MS = 500;

const USER_AGENT_LENGTH = 256;
const REMEMBERED = 10_000;

/**
 * Returns what the page shows of the device. The address is that of the socket, since any client can write a
 * header.
 */
export function deviceInfo({ req }: Pick<KoaContextWithOIDC, 'req'>): Record<string, string> {
  const userAgent = (req.headers['user-agent'] ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, USER_AGENT_LENGTH);
  return { address: clientAddress(req), userAgent };
}

export const deviceAuthorizationEndpoint = (config: Pick<Config, 'listen'>): string =>
  `${config.listen.api.publicUrl}/-/oauth/device`;

/**
 * The limits of devices. Each replica limits by itself: a device code has 256 random bits, so an attacker gains
 * nothing by asking at several, and a rejection costs no request to the store.
 */
export interface DeviceLimits {
  /** @returns 0 where this address may start a sign-in, else whole seconds until it may */
  start(address: string): number;
  /** @returns false where this device polls faster than it was told to; from now on it has to wait 5 seconds longer */
  poll(deviceCode: string): boolean;
}

export function createDeviceLimits({
  signInsPerMinute,
  clock,
}: {
  readonly signInsPerMinute: number;
  readonly clock: Clock;
}): DeviceLimits {
  const starts = createRateLimiter(signInsPerMinute, clock);
  // This is no rate limit but the interval that RFC 8628 §3.5 gives each device: a poll that comes too early makes
  // it longer.
  const polls = new LRUCache<string, { at: number; intervalMs: number }>(atMost(REMEMBERED));
  return {
    start: (address) => starts.take(address),
    poll(deviceCode) {
      const now = clock.nowMs();
      const before = polls.get(deviceCode);
      const intervalMs = before?.intervalMs ?? INTERVAL_SECONDS * 1000;
      const early = before !== undefined && isRecent(before.at, now, intervalMs - TOLERANCE_MS);
      polls.set(deviceCode, { at: now, intervalMs: early ? intervalMs + INTERVAL_SECONDS * 1000 : intervalMs });
      return !early;
    },
  };
}

/** Errors of a device that only has to wait: they are not audited every five seconds. */
export const isWaiting = (error: string | undefined): boolean =>
  error === 'authorization_pending' || error === 'slow_down';

type Body = Record<string, unknown> & { error?: string; error_description?: string };

/** Middleware around the library's endpoints. */
export function deviceResponse(
  config: Pick<Config, 'listen' | 'publicUrl'>,
  { limits, tokenAudit }: { readonly limits: DeviceLimits; readonly tokenAudit: Pick<TokenAudit, 'tooManySignIns'> },
): (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void> {
  return async (ctx, next) => {
    // By the path, since the library has not run yet: the api listener accepts one spelling.
    const wait = ctx.path === '/oauth/device' ? limits.start(clientAddress(ctx.req)) : 0;
    if (wait > 0) {
      ctx.status = 429;
      ctx.set('retry-after', String(wait));
      const error_description = `Too many sign-ins were started from your address. Try again in ${wait} seconds.`;
      ctx.body = { error: 'temporarily_unavailable', error_description };
      tokenAudit.tooManySignIns(ctx);
      return;
    }
    await next();
    if (typeof ctx.body !== 'object' || ctx.body === null) return;
    const body = ctx.body as Body;
    const route = ctx.oidc?.route;
    if (route === 'device_authorization' && ctx.status === 200) {
      // An attacker sends a user a link with the code in it, so that one click of a user who has never seen the
      // device would do. So no link has the code.
      delete body['verification_uri_complete'];
      body['interval'] = INTERVAL_SECONDS;
      // The library takes the scheme from this connection, but the page may be served over another one.
      body['verification_uri'] = `${config.publicUrl}/device`;
    } else if (route === 'token' && body.error === 'authorization_pending') {
      const deviceCode = ctx.oidc.params?.['device_code'];
      if (typeof deviceCode === 'string' && !limits.poll(deviceCode)) body.error = 'slow_down';
    } else if (body['device_authorization_endpoint'] !== undefined) {
      // The library names the issuer's host, where no client certificate and, behind an ingress, no address of a
      // device is visible.
      body['device_authorization_endpoint'] = deviceAuthorizationEndpoint(config);
    }
  };
}
