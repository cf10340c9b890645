/**
 * Posture: does a cluster follow good security practice?
 *
 * Owns: the rules, what each finds in the objects of a cluster, the command that fixes it, waivers and the verdict.
 * Must not know: how the objects are read, a terminal, files or the clock (`now` is an argument).
 *
 * Objects come one at a time and are not kept: each check keeps only what its findings need. Objects are untrusted:
 * no shape is assumed, a name is quoted before it becomes part of a command, and no value of a Secret or ConfigMap
 * is ever part of a finding.
 */
import type { Check, Settings, Collector } from './check.ts';
import { clientCertificates } from '../checks/client-certificates.ts';
import { configCredentials } from '../checks/config-credentials.ts';
import { controlPlane } from '../checks/control-plane.ts';
import { environmentSecrets } from '../checks/environment-secrets.ts';
import { legacyTokens } from '../checks/legacy-tokens.ts';
import { networkPolicies } from '../checks/network-policies.ts';
import { rightsCheck } from '../checks/rights.ts';
import { tokenMounts } from '../checks/token-mounts.ts';
import type { Kind } from './kinds.ts';
import type { JsonRecord } from './json.ts';

export interface Checks {
  readonly all: readonly Check[];
  /** The list of a kind begins. When it begins a second time, objects that were added before are forgotten. */
  begin(kind: Kind): void;
  /** Adds one object, in the order of `KINDS`. */
  add(kind: Kind, object: JsonRecord): void;
}

export function createChecks(settings: Settings): Checks {
  const { check: rights, boundAccounts } = rightsCheck(settings);
  const all = [
    legacyTokens(),
    rights,
    tokenMounts(boundAccounts),
    networkPolicies(),
    environmentSecrets(),
    configCredentials(),
    clientCertificates(settings.now),
    controlPlane(),
  ];
  const collectors = new Map<Kind, Collector[]>();
  for (const { collectors: ofCheck } of all) {
    for (const [kind, collector] of Object.entries(ofCheck) as [Kind, Collector][]) {
      collectors.set(kind, [...(collectors.get(kind) ?? []), collector]);
    }
  }
  return {
    all,
    begin: (kind) => {
      for (const collector of collectors.get(kind) ?? []) collector.begin();
    },
    add: (kind, object) => {
      for (const collector of collectors.get(kind) ?? []) collector.add(object);
    },
  };
}
