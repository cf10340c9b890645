/**
 * What no single setting shows: settings that contradict each other, names given twice, expressions that do not compile. Each check
 * looks at the sections that could be read, so that all faults are reported together.
 */
import { compileAllow, compileMapping } from '../core/claims.ts';
import { providerConfig } from './assemble.ts';
import type { FaultList, Path } from './document.ts';
import type { ParsedCluster, ParsedListen, ParsedProvider, ParsedStore } from './schema.ts';
import type { Sections } from './sections.ts';
import { parseUrl } from './values.ts';

export function checkSemantics(sections: Sections, faults: FaultList): void {
  checkStore(sections.store, faults);
  checkListen(sections.listen, faults);
  checkSessions(sections.sessions, faults);
  checkUnique(
    'providers',
    sections.providers.map((each) => each?.name),
    faults,
  );
  checkUnique(
    'clusters',
    sections.clusters.map((each) => each?.name),
    faults,
  );
  checkHosts(sections.clusters, faults);
  sections.providers.forEach((provider, index) => {
    if (provider !== undefined) checkExpressions(provider, ['providers', index], faults);
  });
  sections.clusters.forEach((cluster, index) => {
    if (cluster !== undefined) checkCluster(cluster, ['clusters', index], faults);
  });
}

function checkStore(store: ParsedStore | undefined, faults: FaultList): void {
  if (store === undefined) return;
  const count = Number(store.memory !== undefined) + Number(store.redis !== undefined);
  if (count !== 1) faults.add(['store'], 'exactly one of memory (one replica, forgets at a restart) and redis');
}

function checkListen(listen: ParsedListen | undefined, faults: FaultList): void {
  if (listen === undefined) return;
  const { tls, certFile, keyFile } = listen.web;
  for (const [name, file] of [
    ['certFile', certFile],
    ['keyFile', keyFile],
  ] as const) {
    if (tls === undefined && file === undefined)
      faults.add(['listen', 'web', name], 'the path of a file, or tls: off behind an ingress');
    if (tls === 'off' && file !== undefined) faults.add(['listen', 'web', name], 'nothing, because tls is off');
  }
  const places = (['api', 'web', 'ops'] as const).map((name) => ({ name, ...listen[name].address }));
  for (const [index, place] of places.entries()) {
    const other = places
      .slice(0, index)
      .find(({ host, port }) => port !== 0 && port === place.port && host === place.host);
    if (other !== undefined)
      faults.add(['listen', place.name, 'address'], `an address other than that of listen.${other.name}`);
  }
}

function checkSessions(sessions: Sections['sessions'], faults: FaultList): void {
  if (sessions === undefined) return;
  if (sessions.idle > sessions.absolute) faults.add(['sessions', 'idle'], 'at most sessions.absolute');
  if (sessions.accessToken > sessions.idle) faults.add(['sessions', 'accessToken'], 'at most sessions.idle');
}

function checkUnique(list: string, names: readonly (string | undefined)[], faults: FaultList): void {
  names.forEach((name, index) => {
    if (name !== undefined && names.indexOf(name) < index) {
      faults.add([list, index, 'name'], `a name of its own: ${list}[${names.indexOf(name)}] has this one`);
    }
  });
}

/** A host that two clusters share would send a request to whichever came last. */
function checkHosts(clusters: readonly (ParsedCluster | undefined)[], faults: FaultList): void {
  const owner = new Map<string, string>();
  clusters.forEach((cluster, index) => {
    cluster?.hosts.forEach((host, position) => {
      const place = `clusters[${index}].hosts[${position}]`;
      const taken = owner.get(host);
      if (taken !== undefined)
        faults.add(['clusters', index, 'hosts', position], `a host of its own: ${taken} is this one`);
      owner.set(host, place);
    });
  });
}

function checkExpressions(provider: ParsedProvider, base: Path, faults: FaultList): void {
  const compiled = compileMapping(providerConfig(provider, (file) => file));
  if (compiled.ok) return;
  for (const { place, message } of compiled.reason) {
    faults.add([...base, ...steps(place)], `a CEL expression that compiles: ${message}`);
  }
}

/** `rules[0].expression` as steps; a key of `extra` may hold dots itself. */
function steps(place: string): Path {
  if (place.startsWith('extra.')) return ['extra', place.slice('extra.'.length)];
  return place.split(/[.[\]]+/).map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}

function checkCluster(cluster: ParsedCluster, base: Path, faults: FaultList): void {
  const allow = compileAllow(cluster.allow);
  if (!allow.ok) faults.add([...base, 'allow'], `a CEL expression over user that compiles: ${allow.reason}`);
  if (cluster.publicUrl !== undefined && !leadsTo(cluster, cluster.publicUrl)) {
    faults.add(
      [...base, 'publicUrl'],
      `an https URL whose host is one of hosts, or that ends with /clusters/${cluster.name}: no other chooses this cluster`,
    );
  }
}

function leadsTo(cluster: ParsedCluster, publicUrl: string): boolean {
  const url = parseUrl(publicUrl, { loopbackHttp: false, path: 'any' });
  if (url === undefined) return false;
  if (publicUrl === url.origin) return cluster.hosts.includes(url.hostname);
  return publicUrl === `${url.origin}/clusters/${cluster.name}`;
}
