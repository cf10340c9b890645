/** Clusters and web consoles (`clusters`, `consoles`): the settings of one, and checks of several settings together. */
import * as z from 'zod';
import { compileAllow } from '../core/identity/claims.ts';
import { items, textAt, texts, valueAt, type Path, type ValidationErrors } from './document.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { constraint, expression, host, label, origin, parseUrl, text } from './values.ts';

const EVERY_GROUP = '"*" (every group, set explicitly) or a list of group names';

export const cluster = section({
  name: label.meta({
    text: 'Used in URLs, kubeconfigs, metrics and the audit log; never change it once users have signed in.',
  }),
  hosts: list(host, 'host names').default([]).meta({
    text: 'Host names that choose this cluster. Without one it is chosen by the prefix /clusters/NAME of the api listener.',
  }),
  publicUrl: text('what a kubeconfig says as server').exactOptional().meta({
    text: 'The cluster as clients reach it.',
    default: 'the first host, at the port of `listen.api.publicUrl`; without a host, the prefix `/clusters/NAME` there',
  }),
  server: origin.meta({ text: 'The API server, as Portcullis reaches it.' }),
  caFile: file().exactOptional().meta({
    text: 'The CAs that verify the API server, in PEM; without it the system’s CAs. Read again when it changes.',
  }),
  tokenFile: file('secret').meta({
    text: 'The token of the proxy’s service account there. Read again when it changes.',
  }),
  allow: expression.default('true').meta({ text: 'Who may use it: CEL over user. What cannot be evaluated means no.' }),
  impersonate: section({
    groups: z
      .union([z.literal('*'), z.array(z.string().min(1))], { error: EVERY_GROUP })
      .meta({ text: 'Groups that are passed on to the cluster: a list, or `"*"` for every group.' }),
    extra: list(text('an extra key'), 'extra keys')
      .default([])
      .meta({ text: "Extra keys that are passed on, in addition to the proxy's own." }),
    constrained: constraint.meta({
      text: 'Constrained impersonation, from Kubernetes 1.36 (1.35 with a feature gate). read: the proxy can only read for users, and so can an attacker with its token; all: for every verb. Both need another role of the account (docs/clusters.md#constrained-impersonation).',
    }),
  }),
  serviceAccountPassthrough: z.boolean({ error: 'true or false' }).default(false).meta({
    text: 'Service accounts of this cluster may pass with their own tokens: the cluster reviews each, and the proxy impersonates no user. Such a token is revoked at the cluster, not here.',
  }),
});

export const console = section({
  name: label.meta({ text: 'Used in the audit log.' }),
  host: host.meta({ text: 'A host name of its own that leads to the web listener; its certificate must cover it.' }),
  cluster: label.meta({ text: 'The one cluster that its tokens are for; who may use that one may use the console.' }),
  server: origin.meta({ text: 'The console itself, as Portcullis reaches it.' }),
  caFile: file().exactOptional().meta({
    text: 'The CAs that verify the console, in PEM; without it the system’s CAs. Read again when it changes.',
  }),
});

/** A host that two clusters shared would send a request to the last one. */
export function checkHosts(root: unknown, errors: ValidationErrors): void {
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
export function checkConsoles(root: unknown, errors: ValidationErrors): void {
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

export function checkCluster(cluster: unknown, base: Path, errors: ValidationErrors): void {
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
