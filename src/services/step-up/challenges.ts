/**
 * Step-ups under way: begun by a session, finished by the same session once its user has authenticated at the provider.
 *
 * An attacker who holds a user's session, or a program that does, begins a step-up and has the user finish it: by a link with a
 * story. So a link gives the proof to a program on the machine of the browser alone (the loopback address), as a code that
 * only the session that began can redeem, with its key. Where there is no such address, the user types a code.
 */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { z } from 'zod';
import type { PendingStepUp, StepUpProof, StepUpRequestContext, StepUps } from './step-ups.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import type { Caller } from '../../core/credential/credential.ts';
import type { StepUpResult } from '../../core/api/rejections.ts';
import { coveringKeys } from '../../core/credential/revocation.ts';
import type { Unproven } from '../../core/identity/auth-time.ts';
import { isPlausible } from '../../core/identity/freshness.ts';
import { no, ok } from '../../core/result.ts';
import { fencedError } from '../../http/error-status.ts';
import { record } from '../../http/audit-events.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { StepUpDeps } from './dependencies.ts';
import { defined } from '../../core/defined.ts';

/** Lifetime in seconds, as that of a login transaction and of a device code. */
const STEP_UP_SECONDS = 600;
/** For the one redirect to the program and its call. */
const CODE_SECONDS = 60;
/** Between two polls. */
export const POLL_SECONDS = 5;
/** Without vowels, so that a code is no word, and without what looks alike (RFC 8628 §6.1). */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';

const challengeSchema = z.object({
  /** Its own, where it is found by a code. */
  id: z.string().exactOptional(),
  /** By which it is found. Absent in one that an earlier version began. */
  userCode: z.string().exactOptional(),
  session: z.string(),
  account: z.templateLiteral([z.string(), '/', z.string()]),
  provider: z.string(),
  username: z.string(),
  /** Of the key that the session's token was bound to. */
  thumbprint: z.string().exactOptional(),
  address: z.string(),
  userAgent: z.string(),
  deviceName: z.string().exactOptional(),
  redirect: z.string().exactOptional(),
  state: z.string().exactOptional(),
  /** Epoch seconds. */
  expiresAt: z.number(),
  /** Present once it is decided. */
  outcome: z.enum(['done', 'refused']).exactOptional(),
  /** Why it was refused. */
  description: z.string().exactOptional(),
  /** When an artefact was consumed, as the store adds it. */
  consumed: z.number().optional(),
});

type Challenge = z.output<typeof challengeSchema>;

const codeSchema = z.object({ challenge: z.string(), authTime: z.number() });

export interface Begun {
  readonly id: string;
  readonly userCode?: string;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

export interface StepUpState {
  readonly state: 'pending' | 'done' | 'refused';
  /** Why it was refused. */
  readonly description?: string;
  /** Epoch seconds at which the user authenticated. */
  readonly authTime?: number;
}

/** What the API for programs needs besides. */
export interface Challenges extends StepUps {
  /** Rejects a session that can never step up, and where codes are off. */
  begin(
    caller: Caller,
    order: { readonly redirect?: string; readonly state?: string },
    context: StepUpRequestContext,
  ): Promise<StepUpResult<Begun>>;
  /** Rejects with `step_up_unknown` unless the same session began it, with the same key. */
  stateOf(caller: Caller, id: string): Promise<StepUpResult<StepUpState>>;
  /** Redeems the one-time code. Idempotent: a program that has lost the response asks again. */
  redeem(caller: Caller, id: string, code: string, context: StepUpRequestContext): Promise<StepUpResult<StepUpState>>;
}

/** 256 bits: anyone who has it sees the page with the user's name. */
const newSecret = (): string => randomBytes(32).toString('base64url');

const newUserCode = (): string => Array.from({ length: 8 }, () => LETTERS[randomInt(LETTERS.length)] ?? '').join('');

const normalized = (typed: string): string => typed.toUpperCase().replace(/[^A-Z0-9]/g, '');

/** A code belongs to one step-up, so its name does. */
const codeName = (id: string, code: string): string =>
  createHash('sha256').update(`${id}\0${code}`).digest('base64url');

const notPending = (precisely: 'step_up_unknown' | 'step_up_over'): StepUpResult<never> =>
  no({ reason: 'not_pending', precisely });

const sessionOver = (precisely = 'session_unknown'): StepUpResult<never> => no({ reason: 'session_over', precisely });

export function createStepUps(deps: StepUpDeps): Challenges {
  const { artefacts, sessions } = deps.store;
  const providers = new Map(deps.config.providers.map(({ name, freshness }) => [name, freshness !== 'none']));

  const whyNever: StepUps['whyNever'] = ({ provider, isDelegated }) => {
    if (isDelegated) return { reason: 'step_up_delegated' };
    const proves = providers.get(provider);
    if (proves === undefined) return { reason: 'step_up_workload' };
    return proves ? undefined : { reason: 'freshness_unprovable', provider };
  };

  async function read(id: string): Promise<Challenge | undefined> {
    return challengeSchema.safeParse(await artefacts.find('StepUp', id)).data;
  }

  const isPending = ({ consumed, outcome, expiresAt }: Challenge): boolean =>
    consumed === undefined && outcome === undefined && expiresAt > nowSeconds(deps);

  function pendingOf(id: string, challenge: Challenge | undefined): StepUpResult<PendingStepUp> {
    if (challenge === undefined) return notPending('step_up_unknown');
    if (!isPending(challenge)) return notPending('step_up_over');
    const { account, provider, username, session, address, userAgent, deviceName, redirect } = challenge;
    return ok({
      id,
      account,
      provider,
      username,
      session,
      address,
      userAgent,
      ...defined({ deviceName }),
      by: redirect === undefined ? 'code' : 'loopback',
    });
  }

  async function save(id: string, challenge: Challenge, userCode?: string): Promise<void> {
    const ttlSeconds = Math.max(1, challenge.expiresAt - nowSeconds(deps));
    // With its session it ends, and it counts against no budget of those who have not signed in.
    const kept = { ttlSeconds, session: challenge.session, ...defined({ userCode }) };
    await artefacts.save('StepUp', id, challenge, kept);
  }

  /** Decides it, once: not where another request was first. */
  async function decide(id: string): Promise<StepUpResult<Challenge>> {
    const challenge = await read(id);
    if (challenge === undefined) return notPending('step_up_unknown');
    if (!isPending(challenge) || !(await artefacts.consume('StepUp', id))) return notPending('step_up_over');
    return ok(challenge);
  }

  /** Rejects a proof that is none, of another account, or not of now. */
  function authTimeOf(
    own: { readonly account: string; readonly provider: string },
    proof: StepUpProof,
  ): StepUpResult<number> {
    if (proof.account !== own.account) return no({ reason: 'other_account' });
    const { authTime } = proof;
    const isProof = providers.get(own.provider) === true && authTime !== undefined;
    const now = nowSeconds(deps);
    if (!isProof || !isPlausible(authTime, now, deps.config.clockSkew)) {
      const unproven: Unproven =
        authTime === undefined ? { defect: 'missing', seen: 'absent' } : { defect: 'future', seen: String(authTime) };
      return no({ reason: 'fresh_sign_in_needed', unproven, provider: own.provider, now });
    }
    return ok(authTime);
  }

  /** Rejects where the session is over, or a revocation came between. @throws AppError `fenced` */
  async function liveSession(
    { session, account }: { readonly session: string; readonly account: string },
    { startedAt }: StepUpProof,
  ): Promise<StepUpResult<SessionRecord>> {
    const found = await sessions.read(session);
    if (found === undefined || found.account !== account) return sessionOver();
    // This replica may know of an entry that the store has not been asked about since.
    const shut = deps.guard.check({ keys: coveringKeys({ ...found, session }), position: startedAt });
    if (shut === 'fenced') throw fencedError();
    return shut === undefined ? ok(found) : sessionOver(shut);
  }

  /**
   * A session keeps its groups until the next re-check, and for as long as it lives where its provider gave no refresh token. A
   * former admin proves it at the provider, which has just said that they are none, and has all rights of an admin until then.
   */
  function hasItsGroups({ identity }: SessionRecord, { groups }: StepUpProof): boolean {
    // A user may have thousands: each is looked up once.
    const now = new Set(groups);
    return identity.groups.every((group) => now.has(group));
  }

  /** @param isFirst asked once the moment is stored; absent: this is the only call */
  async function prove(
    session: string,
    authTime: number,
    context: StepUpRequestContext,
    isFirst?: () => Promise<boolean>,
  ): Promise<StepUpResult<undefined>> {
    const proven = await sessions.prove(session, authTime);
    if (proven === undefined) return sessionOver();
    if (isFirst !== undefined && !(await isFirst())) return ok(undefined);
    const { identity, account, provider, address, device, deviceName } = proven;
    deps.countStepUp?.('done');
    record(deps, context, {
      event: 'step-up',
      path: '/step-up',
      code: 200,
      provider,
      details: {
        ...(device === true ? { device: address } : {}),
        ...defined({ 'device-name': deviceName }),
      },
      about: { identity, account, session },
    });
    return ok(undefined);
  }

  /** Returns the address of the program with parameters, and the issuer (RFC 9207), which the program compares. */
  function returnUrl({ redirect, state }: Challenge, parameters: Readonly<Record<string, string>>): string | undefined {
    if (redirect === undefined) return undefined;
    const url = new URL(redirect);
    url.search = new URLSearchParams({
      ...parameters,
      ...defined({ state }),
      iss: deps.config.publicUrl,
    }).toString();
    return url.href;
  }

  /** Only for the session that began it, and with its key: of an id that leaked, nothing is learnt. */
  async function ownChallenge({ credential, delegation }: Caller, id: string): Promise<StepUpResult<Challenge>> {
    const challenge = await read(id);
    const isOwn =
      challenge !== undefined &&
      delegation === undefined &&
      challenge.session === credential.session &&
      challenge.account === credential.account &&
      challenge.thumbprint === credential.thumbprint;
    return isOwn ? ok(challenge) : no({ reason: 'step_up_unknown' });
  }

  const stateOf = ({ outcome, description }: Challenge): StepUpState => ({
    state: outcome ?? 'pending',
    ...defined({ description }),
  });

  return {
    whyNever,

    async begin({ credential, identity, delegation }, { redirect, state }, { address, userAgent }) {
      const { session, account, provider, thumbprint } = credential;
      const never = whyNever({ provider, isDelegated: delegation !== undefined });
      if (never !== undefined) return no(never);
      if (redirect === undefined && deps.config.sessions.deviceCode === 'off') return no({ reason: 'device_code_off' });
      const found = await sessions.read(session);
      if (found === undefined) return sessionOver();
      const id = newSecret();
      const userCode = redirect === undefined ? newUserCode() : undefined;
      const expiresAt = nowSeconds(deps) + STEP_UP_SECONDS;
      const { deviceName } = found;
      const challenge: Challenge = {
        session,
        account,
        provider,
        username: identity.username,
        address,
        userAgent,
        expiresAt,
        ...defined({ thumbprint, deviceName }),
        ...(redirect === undefined ? { id } : { redirect }),
        ...defined({ userCode, state }),
      };
      await save(id, challenge, userCode);
      return ok({ id, expiresAt, ...defined({ userCode }) });
    },

    async stateOf(caller, id) {
      const own = await ownChallenge(caller, id);
      return own.ok ? ok(stateOf(own.value)) : own;
    },

    async redeem(caller, id, code, context) {
      const own = await ownChallenge(caller, id);
      if (!own.ok) return own;
      const challenge = own.value;
      const name = codeName(id, code);
      const payload = codeSchema.safeParse(await artefacts.find('StepUpCode', name)).data;
      if (payload?.challenge !== id) return no({ reason: 'step_up_code' });
      const { authTime } = payload;
      // Of two calls at once, one is audited; the moment that both write is the same. Consumed only now: an attacker whose first
      // call failed with the store would redeem it again, and what it proves would be in no audit log. Where it is not known
      // whether another call consumed it, it is audited: rather twice than never.
      const isFirst = async (): Promise<boolean> => artefacts.consume('StepUpCode', name).catch(() => true);
      const proven = await prove(challenge.session, authTime, context, isFirst);
      if (!proven.ok) return proven;
      if (challenge.outcome === undefined) await save(id, { ...challenge, outcome: 'done' });
      return ok({ state: 'done', authTime });
    },

    async find(id, options) {
      const pending = pendingOf(id, await read(id));
      const needsCode = pending.ok && pending.value.by === 'code' && options?.typed !== true;
      return needsCode ? notPending('step_up_unknown') : pending;
    },

    async findByCode(userCode) {
      const typed = normalized(userCode);
      const named = typed.length === 8 ? await artefacts.findByUserCode('StepUp', typed) : undefined;
      const id = named?.['id'];
      // The name is not sealed: an attacker who can write to Redis lets the code of a user's own step-up find theirs.
      if (typeof id !== 'string' || (named?.['userCode'] ?? typed) !== typed) return notPending('step_up_unknown');
      return pendingOf(id, await read(id));
    },

    async finish(pending, proof, context) {
      const authTime = authTimeOf(pending, proof);
      if (!authTime.ok) return authTime;
      const live = await liveSession(pending, proof);
      if (!live.ok) return live;
      if (!hasItsGroups(live.value, proof)) return no({ reason: 'groups_changed' });
      const decided = await decide(pending.id);
      if (!decided.ok) return decided;
      const challenge = decided.value;
      if (challenge.redirect === undefined) {
        const proven = await prove(challenge.session, authTime.value, context);
        if (proven.ok) await save(pending.id, { ...challenge, outcome: 'done' });
        return proven;
      }
      const code = newSecret();
      const kept = { ttlSeconds: CODE_SECONDS, session: challenge.session };
      const payload = { challenge: pending.id, authTime: authTime.value };
      await artefacts.save('StepUpCode', codeName(pending.id, code), payload, kept);
      return ok(returnUrl(challenge, { code }));
    },

    async proveOwn(own, proof, context) {
      const live = await liveSession(own, proof);
      if (!live.ok) return live;
      const authTime = authTimeOf({ ...own, provider: live.value.provider }, proof);
      if (!authTime.ok) return authTime;
      if (!hasItsGroups(live.value, proof)) return no({ reason: 'groups_changed' });
      return prove(own.session, authTime.value, context);
    },

    async refuse({ id }, description) {
      const decided = await decide(id);
      if (!decided.ok) return decided;
      await save(id, { ...decided.value, outcome: 'refused', description });
      return ok(returnUrl(decided.value, { error: 'access_denied', error_description: description }));
    },
  };
}
