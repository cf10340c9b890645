/**
 * Checks of several settings together: settings that contradict each other, names given twice, expressions that do
 * not compile.
 *
 * Most checks read the document itself and use only what has the right type, so that an error elsewhere in a
 * section hides none of these; the schema reports wrong types.
 */
import { compileAllow, compileMapping } from '../core/identity/claims.ts';
import { type ClaimsProvider } from '../core/identity/types.ts';
import { checkAccess } from './access-checks.ts';
import { checkAudit } from './audit.ts';
import { checkClientAuth } from './client-auth.ts';
import { checkDelegation } from './delegation.ts';
import { checkDelegationClients } from './delegation-clients.ts';
import { checkFreshness } from './freshness.ts';
import { isMapping, items, textAt, texts, valueAt, type ValidationErrors, type Path } from './document.ts';
import { checkProviderType } from './provider-types.ts';
import { checkPublicClients } from './public-clients.ts';
import type { Sections } from './sections.ts';
import { checkStepUp } from './step-up.ts';
import { parseUrl } from './values.ts';
import { checkWorkload } from './workload.ts';

export function checkSemantics(
  root: Readonly<Record<string, unknown>>,
  sections: Sections,
  errors: ValidationErrors,
): void {
  checkStore(root, errors);
  checkListen(root, sections, errors);
  checkSessions(sections.sessions, errors);
  checkPublicClients(root, errors);
  checkDelegation(root, sections, errors);
  checkAccess(root, errors);
  checkStepUp(root, errors);
  checkDelegationClients(root, errors);
  checkAudit(root, errors);
  checkUnique(root, 'providers', errors);
  checkUnique(root, 'clusters', errors);
  checkHosts(root, errors);
  checkUnique(root, 'consoles', errors);
  checkConsoles(root, errors);
  checkUnique(root, 'workload', errors);
  checkWorkload(root, errors);
  items(root, 'providers').forEach((provider, index) => {
    checkProviderType(provider, ['providers', index], errors);
    checkClientAuth(provider, ['providers', index], errors);
    checkExpressions(provider, ['providers', index], errors);
  });
  checkFreshness(root, errors);
  items(root, 'clusters').forEach((cluster, index) => checkCluster(cluster, ['clusters', index], errors));
}

function checkStore(root: unknown, errors: ValidationErrors): void {
  const store = valueAt(root, ['store']);
  if (!isMapping(store)) return;
  const count = Number(store['memory'] !== undefined) + Number(store['redis'] !== undefined);
  if (count !== 1) errors.add(['store'], 'exactly one of memory (one replica, forgets at a restart) and redis');
  checkSentinel(store['redis'], errors);
}

/** Sentinels need the master's name, and a master's name is of no use without Sentinels. */
function checkSentinel(redis: unknown, errors: ValidationErrors): void {
  const place = ['store', 'redis'];
  const some = items(redis, 'sentinels').length > 0;
  if (some && valueAt(redis, ['master']) === undefined) {
    errors.add([...place, 'master'], 'the name under which store.redis.sentinels know the master');
  }
  // A master that was cut off and replaced would go on granting leases to the replicas that still reach it, so one
  // follower has to confirm.
  if (some && valueAt(redis, ['nodes']) !== 3) {
    errors.add([...place, 'nodes'], '3, because Sentinel may put another server in the master’s place at any time');
  }
  for (const name of some ? [] : ['master', 'sentinelUsernameFile', 'sentinelPasswordFile']) {
    if (valueAt(redis, [name]) !== undefined) errors.add([...place, name], 'nothing, or store.redis.sentinels as well');
  }
}

function checkListen(root: unknown, { listen }: Sections, errors: ValidationErrors): void {
  const web = valueAt(root, ['listen', 'web']);
  for (const name of isMapping(web) ? ['certFile', 'keyFile'] : []) {
    const file = valueAt(web, [name]);
    const tls = valueAt(web, ['tls']);
    const place = ['listen', 'web', name];
    if (tls === undefined && file === undefined) errors.add(place, 'the path of a file, or tls: off behind an ingress');
    if (tls === 'off' && file !== undefined) errors.add(place, 'nothing, because tls is off');
  }
  if (listen === undefined) return;
  if (listen.api.proxyProtocol === 'required' && listen.trustedProxies.length === 0) {
    errors.add(
      ['listen', 'trustedProxies'],
      'the load balancers’ addresses, because listen.api.proxyProtocol is required',
    );
  }
  const places = (['api', 'web', 'ops'] as const).map((name) => ({ name, ...listen[name].address }));
  for (const [index, place] of places.entries()) {
    const taken = places
      .slice(0, index)
      .find(({ host, port }) => port !== 0 && port === place.port && host === place.host);
    if (taken !== undefined)
      errors.add(['listen', place.name, 'address'], `an address other than that of listen.${taken.name}`);
  }
}

function checkSessions(sessions: Sections['sessions'], errors: ValidationErrors): void {
  if (sessions === undefined) return;
  if (sessions.idle > sessions.absolute) errors.add(['sessions', 'idle'], 'at most sessions.absolute');
  if (sessions.accessToken > sessions.idle) errors.add(['sessions', 'accessToken'], 'at most sessions.idle');
  if (sessions.recheckGrace < sessions.recheck) errors.add(['sessions', 'recheckGrace'], 'at least sessions.recheck');
}

function checkUnique(root: unknown, list: string, errors: ValidationErrors): void {
  const names = items(root, list).map((item) => textAt(item, 'name'));
  names.forEach((name, index) => {
    if (name !== undefined && names.indexOf(name) < index) {
      errors.add([list, index, 'name'], `a name of its own: ${list}[${names.indexOf(name)}] has this one`);
    }
  });
}

/** A host that two clusters shared would send a request to the last one. */
function checkHosts(root: unknown, errors: ValidationErrors): void {
  const owners = new Map<string, string>();
  items(root, 'clusters').forEach((cluster, index) => {
    texts(valueAt(cluster, ['hosts'])).forEach((host, position) => {
      const owner = owners.get(host);
      if (owner !== undefined)
        errors.add(['clusters', index, 'hosts', position], `a host of its own: ${owner} is this one`);
      else owners.set(host, `clusters[${index}].hosts[${position}]`);
    });
  });
}

/**
 * A console is a foreign page. Browsers separate cookies by host name alone, whatever the port, so an attacker who
 * controls a console that shares a host with these pages or with a listener would get their cookies. So each
 * console has its own host.
 */
function checkConsoles(root: unknown, errors: ValidationErrors): void {
  const clusters = items(root, 'clusters');
  const names = clusters.map((cluster) => textAt(cluster, 'name'));
  const taken = new Map<string, string>();
  const take = (url: string | undefined, place: string): void => {
    if (url !== undefined && URL.canParse(url)) taken.set(new URL(url).hostname, place);
  };
  take(textAt(root, 'publicUrl'), 'publicUrl');
  take(textAt(root, 'listen', 'api', 'publicUrl'), 'listen.api.publicUrl');
  clusters.forEach((cluster, index) => {
    texts(valueAt(cluster, ['hosts'])).forEach((host) => taken.set(host, `clusters[${index}].hosts`));
  });
  items(root, 'consoles').forEach((console, index) => {
    const host = textAt(console, 'host');
    const owner = host === undefined ? undefined : taken.get(host);
    if (owner !== undefined) errors.add(['consoles', index, 'host'], `a host of its own: ${owner} has this one`);
    else if (host !== undefined) taken.set(host, `consoles[${index}]`);
    const cluster = textAt(console, 'cluster');
    if (cluster !== undefined && !names.includes(cluster)) {
      errors.add(['consoles', index, 'cluster'], 'the name of one of the clusters');
    }
  });
}

function checkExpressions(provider: unknown, base: Path, errors: ValidationErrors): void {
  const compiled = compileMapping(expressionsOf(provider));
  if (compiled.ok) return;
  for (const { place, message } of compiled.reason) {
    errors.add([...base, ...steps(place)], `a CEL expression that compiles: ${message}`);
  }
}

/**
 * Returns as much of a provider as is needed to compile its expressions. What is missing or of a wrong type
 * becomes one that compiles.
 */
function expressionsOf(provider: unknown): ClaimsProvider {
  const rules = (key: string): ClaimsProvider['rules'] =>
    items(provider, key).map((rule) => ({ expression: textAt(rule, 'expression') ?? 'true', message: '' }));
  const extra = valueAt(provider, ['extra']);
  const groups = textAt(provider, 'groups');
  const uid = textAt(provider, 'uid');
  return {
    name: '',
    usernamePrefix: '',
    groupsPrefix: '',
    username: textAt(provider, 'username') ?? 'claims.email',
    ...(groups === undefined ? {} : { groups }),
    ...(uid === undefined ? {} : { uid }),
    extra: isMapping(extra)
      ? Object.fromEntries(
          Object.entries(extra).map(([key, source]) => [key, typeof source === 'string' ? source : '""']),
        )
      : {},
    emailVerified: 'claim',
    rules: rules('rules'),
    userRules: rules('userRules'),
  };
}

/** Returns `rules[0].expression` as steps; a key of `extra` may contain dots itself. */
function steps(place: string): Path {
  if (place.startsWith('extra.')) return ['extra', place.slice('extra.'.length)];
  return place.split(/[.[\]]+/).map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}

function checkCluster(cluster: unknown, base: Path, errors: ValidationErrors): void {
  const allow = compileAllow(textAt(cluster, 'allow') ?? 'true');
  if (!allow.ok) errors.add([...base, 'allow'], `a CEL expression over user that compiles: ${allow.reason}`);
  const impersonate = valueAt(cluster, ['impersonate']);
  if (['read', 'all'].includes(textAt(impersonate, 'constrained') ?? '')) {
    checkConstrained(impersonate, [...base, 'impersonate'], errors);
  }
  const name = textAt(cluster, 'name') ?? 'NAME';
  const publicUrl = textAt(cluster, 'publicUrl');
  if (publicUrl !== undefined && !leadsTo(publicUrl, name, texts(valueAt(cluster, ['hosts'])))) {
    const expected = `an https URL whose host is one of hosts, or that ends with /clusters/${name}: no other chooses this cluster`;
    errors.add([...base, 'publicUrl'], expected);
  }
}

const DOMAIN_KEY = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\/[-._/a-z0-9]+$/;

/** What the API server allows in no constrained mode would reject every request of a user who has it. */
function checkConstrained(impersonate: unknown, base: Path, errors: ValidationErrors): void {
  texts(valueAt(impersonate, ['groups'])).forEach((group, index) => {
    if (group === 'system:masters') {
      errors.add(
        [...base, 'groups', index],
        'no system:masters: with constrained, no API server lets it be impersonated',
      );
    }
  });
  texts(valueAt(impersonate, ['extra'])).forEach((key, index) => {
    if (!DOMAIN_KEY.test(key)) {
      errors.add(
        [...base, 'extra', index],
        'a key with a domain, such as example.com/department: constrained needs one',
      );
    }
  });
}

function leadsTo(publicUrl: string, cluster: string, hosts: readonly string[]): boolean {
  const url = parseUrl(publicUrl, { loopbackHttp: false, path: 'any' });
  if (url === undefined) return false;
  if (publicUrl === url.origin) return hosts.includes(url.hostname);
  return publicUrl === `${url.origin}/clusters/${cluster}`;
}
