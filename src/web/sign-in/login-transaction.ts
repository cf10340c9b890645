/**
 * A login transaction: one sign-in under way, from our page to the identity provider and back. It is stored
 * meanwhile, and consumed exactly once.
 *
 * An attacker guesses or replays a `state`, returns it in another browser (login CSRF) or through another provider
 * (mix-up, RFC 9207 §1). So the `state` is a random value of `idp`, the callback looks it up, and only the last
 * step consumes it.
 */
import { z } from 'zod';
import { siteOf } from '../../core/http/address.ts';
import { AppError } from '../../core/errors.ts';
import type { LogPosition } from '../../core/credential/revocation.ts';
import { FRESH_SIGN_IN_METHODS } from '../../idp/types.ts';
import type { IdentityProvider, SignInChallenge } from '../../idp/idp.ts';
import type { WebDeps } from '../dependencies.ts';
import type { RequestContext } from '../../http/request-context.ts';

/**
 * Lifetime in seconds. RFC 6749 gives no number; ten minutes is the lifetime of oidc-provider's interactions, and
 * enough for a second factor.
 */
export const LOGIN_SECONDS = 600;

const challengeSchema = z.object({
  state: z.string(),
  nonce: z.string(),
  codeVerifier: z.string(),
  freshSince: z.number().optional(),
  asked: z.array(z.enum(FRESH_SIGN_IN_METHODS)).readonly().optional(),
});

/**
 * Where a browser goes after its sign-in. An attacker could make an open redirect of a URL, so only these names
 * are taken, and of an access request its id.
 */
const returnTargetSchema = z.union([
  z.enum(['me', 'admin', 'access', 'step-up/me']),
  z.templateLiteral(['console:', z.string().regex(/^[a-z0-9-]{1,63}$/)]),
  z.templateLiteral(['access:', z.string().regex(/^[A-Za-z0-9_-]{22}$/)]),
]);
export type ReturnTarget = z.infer<typeof returnTargetSchema>;

/** Returns `me` (My sessions) for anything else. */
export const returnTargetOf = (to: unknown): ReturnTarget => returnTargetSchema.safeParse(to).data ?? 'me';

export const returnPath = (to: ReturnTarget): string =>
  `/${to.replace('console:', 'consoles/').replace('access:', 'access/')}`;

/**
 * The purpose of the sign-in: the pending authorization of an OAuth client, this browser itself, a device that was
 * confirmed in it, or a later proof for a session that there is.
 */
const purposeSchema = z.discriminatedUnion('for', [
  z.object({ for: z.literal('client'), uid: z.string() }),
  z.object({
    for: z.literal('browser'),
    /** Hash of the value in the cookie of the browser that began. */
    browser: z.string(),
    to: returnTargetSchema,
    /**
     * A page as `freshReturnPath` built it, for a user who has to authenticate again. It goes
     * before `to`.
     */
    back: z.string().exactOptional(),
  }),
  z.object({
    for: z.literal('device'),
    /** As above. */
    browser: z.string(),
    /** Of the confirmation page. */
    ticket: z.string(),
  }),
  z.object({
    for: z.literal('step-up'),
    /** As above. */
    browser: z.string(),
    /** What is proven: a step-up that a program has begun, or the session of this browser. */
    what: z.union([z.object({ challenge: z.string() }), z.object({ session: z.string() })]),
  }),
]);

/** The stored form. `way` is the purpose: the name that the version before reads, while both run side by side. */
const loginSchema = z
  .object({
    way: purposeSchema,
    provider: z.string(),
    /** The user has to authenticate again at the provider. */
    fresh: z.boolean(),
    /** Because a session of the account was ended, whatever the purpose is. */
    revoked: z.boolean().exactOptional(),
    challenge: challengeSchema,
    startedAt: z.object({ epoch: z.string(), number: z.number() }),
    address: z.string(),
    userAgent: z.string(),
  })
  .transform(({ way, ...rest }) => ({ ...rest, purpose: way }));

export type LoginPurpose = z.infer<typeof purposeSchema>;
/** The purpose of one kind of sign-in. */
export type PurposeFor<Kind extends LoginPurpose['for']> = Extract<LoginPurpose, { readonly for: Kind }>;
export type LoginTransaction<Purpose extends LoginPurpose = LoginPurpose> = Omit<
  z.infer<typeof loginSchema>,
  'purpose'
> & { readonly purpose: Purpose };

const expired = (reason: string): AppError =>
  new AppError('sign_in_expired', 'This sign-in was used already, or took longer than ten minutes.', { reason });

/**
 * Returns the current position in the revocation log. Without a valid lease a revocation could be missed, so no
 * sign-in begins.
 */
function logPosition(deps: Pick<WebDeps, 'guard'>): LogPosition {
  const { position, fenced } = deps.guard;
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
 * Begins a login transaction and stores it.
 * @returns the provider's URL to redirect the browser to
 * @throws AppError `not_found`, `fenced`, `provider_unavailable` or `store_unavailable`
 */
export async function beginLogin(
  deps: Pick<WebDeps, 'guard' | 'store' | 'providers'>,
  context: RequestContext,
  start: {
    readonly provider: string | undefined;
    readonly purpose: LoginPurpose;
    readonly fresh?: boolean;
    /** As in the stored form. */
    readonly revoked?: boolean | undefined;
    /** The challenge of the transaction before, in which the provider showed no proof. */
    readonly after?: SignInChallenge;
  },
): Promise<URL> {
  const { purpose, fresh = false, revoked = false, after } = start;
  const provider = providerNamed(deps, start.provider);
  // Read before anything is awaited: an account that is revoked from here on cannot finish this sign-in.
  const startedAt = logPosition(deps);
  const { challenge, url } = await provider.begin({ fresh, after });
  const { address, userAgent } = context;
  const stored: z.input<typeof loginSchema> = {
    way: purpose,
    provider: provider.name,
    fresh,
    ...(revoked ? { revoked } : {}),
    challenge: { ...challenge },
    startedAt,
    address,
    userAgent,
  };
  const kept = { ttlSeconds: LOGIN_SECONDS, from: siteOf(address) };
  await deps.store.artefacts.save('SignIn', challenge.state, stored, kept);
  return url;
}

function parseLogin(payload: unknown): LoginTransaction {
  const parsed = loginSchema.safeParse(payload);
  if (!parsed.success) throw expired('state_unknown');
  return parsed.data;
}

/** Looks a login transaction up without consuming it. @throws AppError `sign_in_expired` */
export async function findLogin(deps: Pick<WebDeps, 'store'>, state: string | undefined): Promise<LoginTransaction> {
  if (state === undefined || state === '') throw expired('state_missing');
  return parseLogin(await deps.store.artefacts.find('SignIn', state));
}

/**
 * Consumes a login transaction. An attacker who got hold of a callback URL in another browser could use it up, so
 * an attempt that is not the owner's leaves it in place.
 * @param isOwn whether the purpose belongs to the browser that asks
 * @throws AppError `sign_in_expired`
 */
export async function consumeLogin<Purpose extends LoginPurpose>(
  deps: Pick<WebDeps, 'store'>,
  state: string | undefined,
  isOwn: (purpose: LoginPurpose) => purpose is Purpose,
): Promise<LoginTransaction<Purpose>> {
  const own = ({ purpose, ...login }: LoginTransaction): LoginTransaction<Purpose> => {
    if (isOwn(purpose)) return { ...login, purpose };
    const message = 'This sign-in was begun in another browser. Start again in this one.';
    throw new AppError('sign_in_expired', message, { reason: 'other_browser' });
  };
  own(await findLogin(deps, state));
  // Two requests may have found it; exactly one consumes it.
  return own(parseLogin(await deps.store.artefacts.take('SignIn', state ?? '')));
}
