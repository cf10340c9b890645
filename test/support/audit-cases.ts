/** Requests whose events in Portcullis's audit log are compared with those of an API server. */

export interface AuditCase {
  /** The caller: a user of the demo. */
  readonly user: 'root' | 'alice' | 'bob';
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const AUDIT_AGENT = 'kubectl/v1.34.1 (linux/amd64) kubernetes/93248f9';

const JSON_BODY = { 'content-type': 'application/json' };
const DEFAULT = '/api/v1/namespaces/default';
const CONFIG_MAPS = `${DEFAULT}/configmaps`;

/** A header's value in UTF-8, one character a byte. */
const utf8 = (text: string): string => Buffer.from(text).toString('latin1');

const configMap = (name: string, value = 'b'): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: value } });

const root = (method: string, path: string, headers = {}, body?: string): AuditCase => ({
  user: 'root',
  method,
  path,
  headers,
  ...(body === undefined ? {} : { body }),
});
const get = (path: string, headers = {}): AuditCase => root('GET', path, headers);
const create = (path: string, body: string): AuditCase => root('POST', path, JSON_BODY, body);

/** In this order: later ones are about what earlier ones made. */
export const AUDIT_CASES: readonly AuditCase[] = [
  // Each verb.
  get('/api/v1/pods?limit=3'),
  create(CONFIG_MAPS, configMap('one')),
  create(CONFIG_MAPS, configMap('one')),
  get(`${CONFIG_MAPS}/one`),
  get(`${CONFIG_MAPS}/none`),
  root('PUT', `${CONFIG_MAPS}/one`, JSON_BODY, configMap('one', 'c')),
  root('PATCH', `${CONFIG_MAPS}/one`, { 'content-type': 'application/merge-patch+json' }, '{"data":{"x":"y"}}'),
  get(`${CONFIG_MAPS}?watch=true&timeoutSeconds=1`),
  get(`${CONFIG_MAPS}?fieldSelector=metadata.name%3Done&watch=1&timeoutSeconds=1`),
  get('/api/v1/watch/namespaces/default/configmaps?timeoutSeconds=1'),
  root('DELETE', `${CONFIG_MAPS}/one`),
  root('DELETE', `${CONFIG_MAPS}?labelSelector=x%3Dy`),
  root('OPTIONS', `${DEFAULT}/pods`),
  root('HEAD', `${DEFAULT}/pods`),
  // Each kind of path.
  get('/apis/apps/v1/namespaces/default/deployments'),
  get('/apis/apps/v1/namespaces/default/deployments/none/scale'),
  get('/api/v1/namespaces'),
  get('/api/v1/namespaces/default'),
  get('/api/v1/namespaces/default/status'),
  get('/api/v1/nodes'),
  get('/apis/nope.example.com/v1/things'),
  get('/api'),
  get('/apis'),
  get('/api/v1'),
  get('/apis/apps/v1'),
  get('/metrics/slis'),
  get('/nothing/here'),
  get(`${CONFIG_MAPS}?fieldSelector=metadata.name%3Dfoo`),
  // Reviews, tokens, dry runs, bodies that are no good.
  create(
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    JSON.stringify({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { verb: 'get', resource: 'pods' } },
    }),
  ),
  create(
    `${DEFAULT}/serviceaccounts/none/token`,
    JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }),
  ),
  create(`${CONFIG_MAPS}?dryRun=All`, configMap('dry')),
  create(CONFIG_MAPS, '{bad'),
  get(`${CONFIG_MAPS}?limit=x`),
  get(`${DEFAULT}/pods?continue=zz%0a`),
  // What lasts, and what carries secrets.
  get(`${DEFAULT}/pods/web-1/log`),
  get(`${DEFAULT}/pods/web-1/log?follow=true`),
  root('POST', `${DEFAULT}/pods/web-1/exec?command=ls&command=-l&stdout=1`),
  get(`${DEFAULT}/pods/web-1/exec?command=ls&stdout=1`),
  get(`${DEFAULT}/services/none/proxy/a/b?token=x`),
  get(`${DEFAULT}/pods/web-1/proxy/`),
  // Names that are not plain.
  get(`${DEFAULT}/pods/a%20b`),
  get(`${DEFAULT}/pods/%C3%BC`),
  // Users without the right, and users who act as another user.
  { user: 'alice', method: 'GET', path: `${DEFAULT}/secrets` },
  { user: 'alice', method: 'GET', path: `${DEFAULT}/secrets/s` },
  { user: 'bob', method: 'GET', path: `${DEFAULT}/pods` },
  { user: 'bob', method: 'GET', path: '/nothing' },
  get(`${DEFAULT}/pods`, { 'impersonate-user': 'demo:alice', 'impersonate-group': 'demo:developers' }),
  get(`${DEFAULT}/pods`, { 'impersonate-user': 'demo:z', 'impersonate-uid': 'z/1', 'impersonate-group': 'x, y' }),
  // What clients call themselves.
  get(`${DEFAULT}/pods`, { 'user-agent': '' }),
  get(`${DEFAULT}/pods`, { 'user-agent': 'x'.repeat(3000) }),
  get(`${DEFAULT}/pods`, { 'user-agent': utf8('größe/1 (チーム)') }),
  get(`${DEFAULT}/pods`, { 'user-agent': 'gr\u00f6\u00dfe/1' }),
  get(`${DEFAULT}/pods`, { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }),
];

/** Headers as they are sent. An empty user agent is an empty header, and no missing one. */
export const headersOf = ({ headers }: AuditCase): Record<string, string> => ({
  'user-agent': AUDIT_AGENT,
  ...headers,
});
