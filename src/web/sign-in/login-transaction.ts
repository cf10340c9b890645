/**
 * A person's trip to their identity provider and back: what is kept meanwhile, and how it is picked up exactly once.
 *
 * Threats: a state that is guessed, replayed, begun by another browser (login CSRF), or brought back by another provider (mix-up,
 * RFC 9207 §1). The state is the provider room's random value; it is looked up at the callback and taken at the finish.
 */
import { z } from 'zod';
import { siteOf } from '../../core/address.ts';
import { AppError } from '../../core/errors.ts';
import type { LogPosition } from '../../core/revocation.ts';
import { FRESH_ASKS } from '../../idp/fresh-proof.ts';
import type { IdentityProvider, SignInChallenge } from '../../idp/idp.ts';
import type { WebDeps } from '../deps.ts';
import type { Visit } from '../visit.ts';

/** RFC 6749 gives no number; ten minutes is what oidc-provider gives its interactions, and a person at a second factor needs. */
export const JOURNEY_SECONDS = 600;

const challengeSchema = z.object({
  state: z.string(),
  nonce: z.string(),
  codeVerifier: z.string(),
  freshSince: z.number().optional(),
  asked: z.array(z.enum(FRESH_ASKS)).readonly().optional(),
});

/** Where a browser goes after its sign-in. Only these: a return address as a URL would be an open redirect. */
const landingSchema = z.union([
  z.enum(['me', 'admin']),
  z.templateLiteral(['console:', z.string().regex(/^[a-z0-9-]{1,63}$/)]),
]);
export type Landing = z.infer<typeof landingSchema>;

/** The own page where it is none of them. */
export const landingOf = (to: unknown): Landing => landingSchema.safeParse(to).data ?? 'me';

export const landingPath = (to: Landing): string => `/${to.replace('console:', 'consoles/')}`;

/** Who waits at the end: the pending authorization of an OAuth client, this browser itself, or a device that was confirmed in it. */
const waySchema = z.discriminatedUnion('for', [
  z.object({ for: z.literal('client'), uid: z.string() }),
  z.object({
    for: z.literal('browser'),
    /** Hash of the value in the cookie of the browser that began. */
    browser: z.string(),
    to: landingSchema,
    /** A page below `/admin`, as `ownAdminPath` built it, for who was sent to prove anew who they are. It goes before `to`. */
    back: z.string().exactOptional(),
  }),
  z.object({
    for: z.literal('device'),
    /** As above. */
    browser: z.string(),
    /** Of the confirmation page. */
    ticket: z.string(),
  }),
]);

const journeySchema = z.object({
  way: waySchema,
  provider: z.string(),
  /** The person was sent to prove anew who they are. Where they come back without having done so there is no other trip. */
  fresh: z.boolean(),
  challenge: challengeSchema,
  startedAt: z.object({ epoch: z.string(), number: z.number() }),
  address: z.string(),
  userAgent: z.string(),
});

export type Way = z.infer<typeof waySchema>;
export type Journey = z.infer<typeof journeySchema>;

const expired = (reason: string): AppError =>
  new AppError('sign_in_expired', 'This sign-in was used already, or took longer than ten minutes.', { reason });

/** The log's place now. Undefined or stale means that a revocation could be missed, so nobody starts. */
function startingPlace(deps: Pick<WebDeps, 'gate'>): LogPosition {
  const { position, fenced } = deps.gate;
  if (position === undefined || fenced) {
    throw new AppError('fenced', 'This replica is not ready for sign-ins yet.', { reason: 'fenced' });
  }
  return position;
}

/** The provider of that name. @throws AppError `not_found` */
export function providerNamed(deps: Pick<WebDeps, 'providers'>, name: string | undefined): IdentityProvider {
  const provider = name === undefined ? undefined : deps.providers.get(name);
  if (provider === undefined) {
    throw new AppError('not_found', 'There is no identity provider of that name here.', { reason: 'provider_unknown' });
  }
  return provider;
}

/**
 * Begins a trip and keeps what must survive it.
 * @returns the provider's URL to send the browser to
 */
export async function beginJourney(
  deps: Pick<WebDeps, 'gate' | 'store' | 'providers'>,
  visit: Visit,
  start: {
    readonly provider: string | undefined;
    readonly way: Way;
    readonly fresh?: boolean;
    /** The trip before, on which the provider showed no proof. */
    readonly after?: SignInChallenge;
  },
): Promise<URL> {
  const { way, fresh = false, after } = start;
  const provider = providerNamed(deps, start.provider);
  // Taken before anything is awaited: an account that is revoked from here on cannot finish this sign-in.
  const startedAt = startingPlace(deps);
  const { challenge, url } = await provider.begin({ fresh, after });
  const { address, userAgent } = visit;
  const journey: Journey = {
    way,
    provider: provider.name,
    fresh,
    challenge: { ...challenge },
    startedAt,
    address,
    userAgent,
  };
  const kept = { ttlSeconds: JOURNEY_SECONDS, from: siteOf(address) };
  await deps.store.artefacts.save('SignIn', challenge.state, { ...journey }, kept);
  return url;
}

function readJourney(payload: unknown): Journey {
  const parsed = journeySchema.safeParse(payload);
  if (!parsed.success) throw expired('state_unknown');
  return parsed.data;
}

/** Looks a state up without using it. @throws AppError `sign_in_expired` */
export async function findJourney(deps: Pick<WebDeps, 'store'>, state: string | undefined): Promise<Journey> {
  if (state === undefined || state === '') throw expired('state_missing');
  return readJourney(await deps.store.artefacts.find('SignIn', state));
}

/**
 * Takes a state for good, for the one who began it only. Somebody else's attempt leaves it in place, so that a leaked
 * callback URL cannot burn a sign-in that is under way.
 * @throws AppError `sign_in_expired`
 */
export async function takeJourney(
  deps: Pick<WebDeps, 'store'>,
  state: string | undefined,
  isOwn: (way: Way) => boolean,
): Promise<Journey> {
  const found = await findJourney(deps, state);
  if (!isOwn(found.way)) {
    const words = 'This sign-in was begun in another browser. Start again in this one.';
    throw new AppError('sign_in_expired', words, { reason: 'other_browser' });
  }
  // Two requests may have found it; exactly one takes it.
  return readJourney(await deps.store.artefacts.take('SignIn', state ?? ''));
}
