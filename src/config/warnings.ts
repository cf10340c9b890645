/** Settings that are allowed and get a warning at each start (docs/architecture.md#invariant-6). */
import { isLoopback } from '../core/http/address.ts';
import { compileMapping } from '../core/identity/claims.ts';
import type { Config, ProviderConfig } from './config.ts';
import { accessWarnings } from './access-checks.ts';
import { stepUpWarnings } from './step-up.ts';
import type { ConfigWarning } from './validation-errors.ts';

/** Returns the warnings of a valid configuration, in the order of its sections. */
export function warningsOf(config: Config): readonly ConfigWarning[] {
  return [
    ...config.providers.flatMap(providerWarnings),
    ...config.workload.flatMap((rule, index) => emptyPrefixWarnings(rule, `workload[${index}]`)),
    ...prefixWarnings([...config.providers, ...config.workload]),
    ...extraWarnings(config),
    ...storeWarnings(config),
    ...bindingWarnings(config),
    ...auditWarnings(config),
    ...accessWarnings(config),
    ...stepUpWarnings(config.stepUp),
    ...(config.admin.groups.length === 0
      ? [warning('admin.groups', 'is empty: no user can revoke the sessions of others.')]
      : []),
    ...(config.admin.freshness === 'off'
      ? [
          warning(
            'admin.freshness',
            'is off: an attacker with an admin’s session can revoke and lock for as long as it lives.',
          ),
        ]
      : []),
  ];
}

function providerWarnings(provider: ProviderConfig, index: number): readonly ConfigWarning[] {
  const place = `providers[${index}]`;
  const warnings: ConfigWarning[] = [...emptyPrefixWarnings(provider, place)];
  if (provider.groupsAs === 'name') {
    warnings.push(
      warning(
        `${place}.groupsAs`,
        `is name: two groups may have the same name, and anyone who may create or rename groups at ${provider.name} chooses it.`,
      ),
    );
  }
  // Compiled with `claim`, to see what the expression reads whatever the setting is.
  const mapping = compileMapping({ ...provider, emailVerified: 'claim' });
  if (provider.emailVerified === 'trusted' && mapping.ok && mapping.value.needsVerifiedEmail) {
    warnings.push(
      warning(
        `${place}.emailVerified`,
        `is trusted: an address that ${provider.name} has not verified becomes a username.`,
      ),
    );
  }
  if (provider.organizations === '*') {
    warnings.push(
      warning(
        `${place}.organizations`,
        `is "*": anyone with an account at ${provider.host ?? 'github.com'} can sign in.`,
      ),
    );
  }
  return warnings;
}

type Prefixed = Pick<ProviderConfig, 'name' | 'usernamePrefix' | 'groupsPrefix'>;

function emptyPrefixWarnings(
  { name, usernamePrefix, groupsPrefix }: Prefixed,
  place: string,
): readonly ConfigWarning[] {
  const warnings: ConfigWarning[] = [];
  if (usernamePrefix === '') {
    warnings.push(
      warning(`${place}.usernamePrefix`, `is empty: a user whom ${name} names alice is the cluster's own alice.`),
    );
  }
  if (groupsPrefix === '') {
    warnings.push(warning(`${place}.groupsPrefix`, `is empty: ${name} decides who is in the cluster's own groups.`));
  }
  return warnings;
}

/** Two providers whose prefixes begin alike can each produce the other's names. */
function prefixWarnings(providers: readonly Prefixed[]): readonly ConfigWarning[] {
  return providers.flatMap((provider, index) =>
    providers.slice(0, index).flatMap((other) => {
      const alike = (a: string, b: string): boolean => a.startsWith(b) || b.startsWith(a);
      const clash =
        alike(provider.usernamePrefix, other.usernamePrefix) || alike(provider.groupsPrefix, other.groupsPrefix);
      return clash
        ? [
            {
              setting: 'providers',
              message: `The prefixes of ${other.name} and ${provider.name} begin alike: users of one can have the names of the other.`,
            },
          ]
        : [];
    }),
  );
}

function extraWarnings({ providers, clusters }: Config): readonly ConfigWarning[] {
  const keys = new Set(providers.flatMap(({ extra }) => Object.keys(extra)));
  return clusters.flatMap(({ name, impersonate }, index) =>
    [...keys]
      .filter((key) => !impersonate.extra.includes(key))
      .map((key) => ({
        setting: `clusters[${index}].impersonate.extra`,
        message: `The cluster ${name} does not get the extra key ${key}: it is not in its impersonate.extra.`,
      })),
  );
}

function auditWarnings({ audit }: Config): readonly ConfigWarning[] {
  const spoolless = audit.sinks.flatMap((sink, index) =>
    sink.type === 'webhook' && sink.spoolDir === undefined
      ? [
          warning(
            `audit.sinks[${index}].spoolDir`,
            `is not set: events that the webhook has not accepted wait in memory only, and ${audit.onFailure === 'block' ? 'nothing is served while it accepts none' : 'is lost when this process ends'}.`,
          ),
        ]
      : [],
  );
  const shown = warning(
    'audit.execCommands',
    'is true: the commands of kubectl exec are in the audit log, with any passwords in them.',
  );
  return [...spoolless, ...shortLived(audit), ...(audit.execCommands ? [shown] : []), ...writeAheadWarnings(audit)];
}

/** A user fills files of a limited size and number with requests, until their earlier actions are deleted. */
function shortLived({ sinks }: Config['audit']): readonly ConfigWarning[] {
  const index = sinks.findIndex((sink) => sink.type === 'file' && sink.maxSizeMb !== undefined);
  const sink = sinks[index];
  if (sink?.type !== 'file' || typeof sink.keep === 'object' || sinks.some(({ type }) => type !== 'file')) return [];
  return [
    warning(
      `audit.sinks[${index}].keep`,
      'is a number of files of a limited size, and there is no other sink: a user who sends many long requests has earlier events deleted. Keep them for a time (90d), or add a sink.',
    ),
  ];
}

function writeAheadWarnings({ writeAhead, sinks }: Config['audit']): readonly ConfigWarning[] {
  if (writeAhead === 'off')
    return [
      warning(
        'audit.writeAhead',
        'is off: a process that is killed may have made changes that are not in the audit log.',
      ),
    ];
  const isKept = sinks.some((sink) => sink.type !== 'webhook' || sink.spoolDir !== undefined);
  return isKept
    ? []
    : [
        warning(
          'audit.writeAhead',
          `is ${writeAhead}, and no sink of audit.sinks is on this machine: a process that is killed may have made changes that are not in the audit log. Set spoolDir, or add a sink.`,
        ),
      ];
}

function bindingWarnings({ sessions }: Config): readonly ConfigWarning[] {
  if (sessions.binding === 'required') return [];
  return [
    warning(
      'sessions.binding',
      'is off: tokens are bound to no key, so an attacker who copies one can use it while it lives.',
    ),
  ];
}

function storeWarnings({ store }: Config): readonly ConfigWarning[] {
  if (store.kind === 'memory')
    return [warning('store.memory', 'is for one replica, and all users sign in again after a restart.')];
  const url = new URL(store.url);
  const plain = url.protocol === 'redis:' && !isLoopback(url.hostname);
  return plain ? [warning('store.redis.url', 'is not rediss: sealed and hashed values are sent unencrypted.')] : [];
}

/** @param text what is said of the setting, after its name */
const warning = (setting: string, text: string): ConfigWarning => ({ setting, message: `${setting} ${text}` });
