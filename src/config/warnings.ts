/**
 * Settings that are allowed and get a warning at each start (docs/architecture.md#invariant-6): one table, in the order
 * of the sections.
 */
import { isLoopback } from '../core/http/address.ts';
import { compileMapping } from '../core/identity/claims.ts';
import { VENDOR_HOSTS } from '../core/identity/provider-types.ts';
import type { Config, ProviderConfig } from './config.ts';
import { whyNeverTouched } from './step-up.ts';
import type { ConfigWarning } from './validation-errors.ts';

interface Row extends ConfigWarning {
  readonly when: boolean;
}

/** @param text what is said of the setting, after its name */
const row = (setting: string, when: boolean, text: string): Row => ({ setting, when, message: `${setting} ${text}` });

/** Returns the warnings of a valid configuration. */
export function warningsOf(config: Config): readonly ConfigWarning[] {
  const rows: readonly Row[] = [
    ...config.providers.flatMap(providerRows),
    ...config.workload.flatMap((rule, index) => prefixRows(rule, `workload[${index}]`)),
    ...alikeRows([...config.providers, ...config.workload]),
    ...extraRows(config),
    ...storeRows(config),
    row(
      'sessions.binding',
      config.sessions.binding === 'off',
      'is off: tokens are bound to no key, so an attacker who copies one can use it while it lives.',
    ),
    ...auditRows(config),
    ...accessRows(config),
    ...stepUpRows(config),
    row('admin.groups', config.admin.groups.length === 0, 'is empty: no user can revoke the sessions of others.'),
    row(
      'admin.freshness',
      config.admin.freshness === 'off',
      'is off: an attacker with an admin’s session can revoke and lock for as long as it lives.',
    ),
  ];
  return rows.flatMap(({ when, ...warning }) => (when ? [warning] : []));
}

const providerRows = (provider: ProviderConfig, index: number): readonly Row[] => [
  ...prefixRows(provider, `providers[${index}]`),
  row(
    `providers[${index}].groupsAs`,
    provider.groupsAs === 'name',
    `is name: two groups may have the same name, and anyone who may create or rename groups at ${provider.name} chooses it.`,
  ),
  row(
    `providers[${index}].emailVerified`,
    provider.emailVerified === 'trusted' && namesByEmail(provider),
    `is trusted: an address that ${provider.name} has not verified becomes a username.`,
  ),
  row(
    `providers[${index}].organizations`,
    provider.organizations === '*',
    `is "*": anyone with an account at ${provider.host ?? VENDOR_HOSTS.github} can sign in.`,
  ),
];

function namesByEmail(provider: ProviderConfig): boolean {
  // Compiled with `claim`, to see what the expression reads whatever the setting is.
  const mapping = compileMapping({ ...provider, emailVerified: 'claim' });
  return mapping.ok && mapping.value.needsVerifiedEmail;
}

type Prefixed = Pick<ProviderConfig, 'name' | 'usernamePrefix' | 'groupsPrefix'>;

const prefixRows = ({ name, usernamePrefix, groupsPrefix }: Prefixed, place: string): readonly Row[] => [
  row(
    `${place}.usernamePrefix`,
    usernamePrefix === '',
    `is empty: a user whom ${name} names alice is the cluster's own alice.`,
  ),
  row(`${place}.groupsPrefix`, groupsPrefix === '', `is empty: ${name} decides who is in the cluster's own groups.`),
];

/** Two providers whose prefixes begin alike can each produce the other's names. */
function alikeRows(providers: readonly Prefixed[]): readonly Row[] {
  const alike = (a: string, b: string): boolean => a.startsWith(b) || b.startsWith(a);
  return providers.flatMap((provider, index) =>
    providers.slice(0, index).map((other) => ({
      setting: 'providers',
      when: alike(provider.usernamePrefix, other.usernamePrefix) || alike(provider.groupsPrefix, other.groupsPrefix),
      message: `The prefixes of ${other.name} and ${provider.name} begin alike: users of one can have the names of the other.`,
    })),
  );
}

function extraRows({ providers, clusters }: Config): readonly Row[] {
  const keys = new Set(providers.flatMap(({ extra }) => Object.keys(extra)));
  return clusters.flatMap(({ name, impersonate }, index) =>
    [...keys].map((key) => ({
      setting: `clusters[${index}].impersonate.extra`,
      when: !impersonate.extra.includes(key),
      message: `The cluster ${name} does not get the extra key ${key}: it is not in its impersonate.extra.`,
    })),
  );
}

function storeRows({ store }: Config): readonly Row[] {
  const url = store.kind === 'redis' ? new URL(store.url) : undefined;
  return [
    row('store.memory', store.kind === 'memory', 'is for one replica, and all users sign in again after a restart.'),
    row(
      'store.redis.url',
      url?.protocol === 'redis:' && !isLoopback(url.hostname),
      'is not rediss: sealed and hashed values are sent unencrypted.',
    ),
  ];
}

function auditRows({ audit: { sinks, onFailure, execCommands, writeAhead } }: Config): readonly Row[] {
  const sized = sinks.findIndex((sink) => sink.type === 'file' && sink.maxSizeMb !== undefined);
  const file = sinks[sized];
  const isKeptHere = sinks.some((sink) => sink.type !== 'webhook' || sink.spoolDir !== undefined);
  return [
    ...sinks.map((sink, index) =>
      row(
        `audit.sinks[${index}].spoolDir`,
        sink.type === 'webhook' && sink.spoolDir === undefined,
        `is not set: events that the webhook has not accepted wait in memory only, and ${onFailure === 'block' ? 'nothing is served while it accepts none' : 'is lost when this process ends'}.`,
      ),
    ),
    // A user fills files of a limited size and number with requests, until their earlier actions are deleted.
    row(
      `audit.sinks[${sized}].keep`,
      file?.type === 'file' && typeof file.keep !== 'object' && sinks.every(({ type }) => type === 'file'),
      'is a number of files of a limited size, and there is no other sink: a user who sends many long requests has earlier events deleted. Keep them for a time (90d), or add a sink.',
    ),
    row(
      'audit.execCommands',
      execCommands,
      'is true: the commands of kubectl exec are in the audit log, with any passwords in them.',
    ),
    row(
      'audit.writeAhead',
      writeAhead === 'off',
      'is off: a process that is killed may have made changes that are not in the audit log.',
    ),
    row(
      'audit.writeAhead',
      writeAhead !== 'off' && !isKeptHere,
      `is ${writeAhead}, and no sink of audit.sinks is on this machine: a process that is killed may have made changes that are not in the audit log. Set spoolDir, or add a sink.`,
    ),
  ];
}

function accessRows({ access: { roles, freshness: ofApprovers } }: Config): readonly Row[] {
  const ofRoles = roles.flatMap(({ requesters, approval, reason, freshness, clusters }, index) => [
    row(`access.roles[${index}].requesters`, requesters.length === 0, 'is empty: no user may ask for this role.'),
    row(`access.roles[${index}].clusters`, clusters?.length === 0, 'is empty: this role gives nothing anywhere.'),
    row(
      `access.roles[${index}].approval.groups`,
      approval !== 'none' && approval.groups.length === 0,
      'is empty: no user may approve, so no one gets this role.',
    ),
    row(
      `access.roles[${index}].approval`,
      approval === 'none' && reason === undefined && freshness === undefined,
      'is none, with neither reason nor freshness: an attacker with a session of a requester has this role at once.',
    ),
  ]);
  return [
    ...ofRoles,
    row(
      'access.freshness',
      ofApprovers === 'off' && roles.some(({ approval }) => approval !== 'none'),
      'is off: an attacker with an approver’s session can approve for as long as it lives.',
    ),
  ];
}

/** Rules that no request can touch. */
const stepUpRows = ({ stepUp }: Config): readonly Row[] =>
  stepUp.flatMap(({ clusters, rules }, index) => [
    row(`stepUp[${index}].clusters`, clusters?.length === 0, `is empty: ${NEVER}`),
    ...rules.map((rule, at) => {
      const why = whyNeverTouched(rule);
      return row(`stepUp[${index}].rules[${at}]`, clusters?.length !== 0 && why !== undefined, `${why}: ${NEVER}`);
    }),
  ]);

const NEVER = 'it never asks for a recent sign-in.';
