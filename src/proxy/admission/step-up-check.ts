/**
 * Whether a request may be made with the proof that its user has given (`stepUp`).
 *
 * An attacker with a stolen or an unlocked laptop, or a program that runs under the user's own uid, has the user's session for a
 * day. What these rules name needs a sign-in at the provider that is minutes old, which the session's key alone does not give.
 * A stream that was opened in time goes on.
 */
import { consoleClient } from '../../core/core.ts';
import { actorText, type Delegation } from '../../core/delegation/delegation.ts';
import type { Caller } from '../../core/credential/credential.ts';
import { impersonateAttributes } from '../../core/http/impersonation.ts';
import { freshnessOf } from '../../core/identity/freshness.ts';
import type { Identity } from '../../core/identity/identity.ts';
import { compileStepUp, type StepUpAge } from '../../core/step-up/requirement.ts';
import type { ApiListenerDeps } from '../dependencies.ts';
import { asRequest, type AskedFor, type Attributes } from './request-question.ts';
import { stepUpNeeded, type StepUpCaller } from '../step-up-rejections.ts';
import type { Rejection } from '../status.ts';

export type ProvenCaller = Pick<Caller, 'credential' | 'identity' | 'authTime'> & { readonly delegation?: Delegation };

export interface StepUpCheck {
  /** The request itself is judged also where its user acts as another one. @returns undefined where it may be made */
  user(caller: ProvenCaller, asked: AskedFor): Rejection | undefined;
  /** A service account that passes with its own token has no user who could prove anything. */
  serviceAccount(username: string, asked: AskedFor): Rejection | undefined;
}

type StepUpDeps = Pick<ApiListenerDeps, 'stepUp' | 'clock' | 'publicUrl' | 'thirdParties'> & {
  readonly clusters: readonly { readonly name: string }[];
};

/** @returns undefined where there are no rules, so that a request costs one comparison */
export function createStepUpCheck({
  stepUp,
  clusters,
  clock,
  publicUrl,
  thirdParties,
}: StepUpDeps): StepUpCheck | undefined {
  if (stepUp === undefined || stepUp.rules.length === 0) return undefined;
  const { rules, proving, silent, clockSkew } = stepUp;
  const byCluster = new Map<string, StepUpAge>();
  for (const { name } of clusters) {
    const age = compileStepUp(rules, name);
    if (age !== undefined) byCluster.set(name, age);
  }

  /** How recent the proof must be, and what needs it most. */
  const needed = (asked: AskedFor, impersonated: Identity | undefined): Needed | undefined => {
    const age = byCluster.get(asked.cluster.name);
    if (age === undefined) return undefined;
    const own = age(asked);
    const strictest = own === undefined ? undefined : { maxAge: own, about: asked.attributes };
    if (impersonated === undefined) return strictest;
    return impersonateAttributes(impersonated).reduce<Needed | undefined>((least, about) => {
      const maxAge = age({ info: asRequest(about), upgrade: false, contentTypes: [] });
      return maxAge === undefined || (least !== undefined && least.maxAge <= maxAge) ? least : { maxAge, about };
    }, strictest);
  };

  const kindOf = ({ credential, delegation }: ProvenCaller): StepUpCaller => {
    if (delegation !== undefined) return { kind: 'delegated', actor: actorText(delegation) };
    const { provider, client } = credential;
    if (silent.has(provider)) return { kind: 'unprovable' };
    if (!proving.has(provider)) return { kind: 'workload' };
    if (client.startsWith(CONSOLE)) return { kind: 'browser' };
    const name = thirdParties?.get(client);
    return name === undefined ? { kind: 'user' } : { kind: 'third-party', name };
  };

  return {
    user(caller, asked) {
      const most = needed(asked, asked.impersonated);
      if (most === undefined) return undefined;
      const { maxAge, about } = most;
      const { identity, delegation, credential, authTime } = caller;
      const freshness = freshnessOf(
        { provesFreshness: delegation === undefined && proving.has(credential.provider), authTime },
        { now: clock.nowMs() / 1000, withinSeconds: maxAge, clockSkew },
      );
      if (freshness === 'fresh') return undefined;
      return stepUpNeeded(identity.username, about, { caller: kindOf(caller), maxAge, publicUrl });
    },
    serviceAccount(username, asked) {
      const most = needed(asked, undefined);
      if (most === undefined) return undefined;
      return stepUpNeeded(username, most.about, { caller: { kind: 'workload' }, maxAge: most.maxAge, publicUrl });
    },
  };
}

interface Needed {
  readonly maxAge: number;
  readonly about: Attributes;
}

const CONSOLE = consoleClient('');
