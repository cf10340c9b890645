/**
 * Demo: the whole of Portcullis on one machine, with nothing to install beside it.
 *
 * Owns: an identity provider with four users, a cluster, their certificates and configuration, and the guided tour. Must not know: the
 * internals of the plugin (module `cli`): it runs the same command that a developer runs. Everything here listens on loopback only.
 */

/** Who can sign in at the demo's identity provider. */
export interface DemoUser {
  readonly name: string;
  readonly password: string;
  readonly groups: readonly string[];
  readonly role: string;
}

export const USERS: readonly DemoUser[] = [
  { name: 'alice', password: 'alice-demo', groups: ['developers'], role: 'a developer' },
  { name: 'bob', password: 'bob-demo', groups: [], role: 'a user without groups' },
  { name: 'root', password: 'root-demo', groups: ['admins'], role: 'an administrator' },
  { name: 'vera', password: 'vera-demo', groups: ['auditors'], role: 'an auditor' },
];

/** What developers may ask for and administrators approve: to read secrets in `default`, for a while. */
export const DEMO_ROLE = {
  name: 'secrets-reader',
  description: 'Read secrets in the namespace default',
  groups: ['granted:secrets-reader'],
  requesters: ['demo:developers'],
  approval: { groups: ['demo:admins'], count: 1 },
  longest: '1h',
} as const;

/** Five ports in a row, in this order, from `--port-base` on (docs/reference/cli.md#demo). */
export interface DemoPorts {
  readonly api: number;
  readonly web: number;
  readonly ops: number;
  readonly cluster: number;
  readonly idp: number;
}

export const DEFAULT_PORT_BASE = 7443;
export const DEFAULT_DIRECTORY = '.portcullis-demo';

/** Of Prometheus, where the demo is asked for it. */
export const monitoringPort = (base: number): number => base + 5;

export const demoPorts = (base: number): DemoPorts => ({
  api: base,
  web: base + 1,
  ops: base + 2,
  cluster: base + 3,
  idp: base + 4,
});

/** An error that the user can fix. It is printed without a stack trace. */
export class DemoError extends Error {}
