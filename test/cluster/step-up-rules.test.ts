/** Step-up rules against a real API server: whatever request returns an object touches a rule for reading it, however it is spelt. */
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RightsRule } from '../../src/core/delegation/rights.ts';
import { requestInfo } from '../../src/core/request/request-info.ts';
import { compileStepUp } from '../../src/core/step-up/requirement.ts';
import { startBareApiServer, type BareApiServer } from './bare-api-server.ts';

/** In each object, and in no request. */
const CANARY = 'canary-of-what-is-stored';

let server: BareApiServer;
let dispatcher: Agent;

beforeAll(async () => {
  server = await startBareApiServer();
  dispatcher = new Agent({ connect: { ca: server.ca } });
});
afterAll(async () => {
  await dispatcher.destroy();
  await server.close();
});

interface Asked {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly target: string;
  readonly contentType: string;
}

async function ask({ method, target, contentType }: Asked, json: object): Promise<{ status: number; text: string }> {
  const { statusCode, body } = await request(`${server.url}${target}`, {
    method,
    dispatcher,
    headers: { authorization: `Bearer ${server.token}`, 'content-type': contentType },
    // An API server ignores the query of a DELETE that has a body.
    ...(method === 'GET' || method === 'DELETE' ? {} : { body: JSON.stringify(json) }),
  });
  return { status: statusCode, text: await body.text() };
}

const touches = (rule: RightsRule, { method, target, contentType }: Asked): boolean =>
  compileStepUp(
    [{ rules: [rule], maxAge: 60 }],
    'c',
  )?.({
    info: requestInfo(method, target),
    upgrade: false,
    contentTypes: [contentType],
  }) !== undefined;

const metadata = { name: 'db', annotations: { note: CANARY } };
const spec = { containers: [{ name: 'c', image: 'c' }] };
const labels = { app: 'db' };

const OBJECTS = [
  { resource: 'secrets', base: '/api/v1/namespaces/default', body: { apiVersion: 'v1', kind: 'Secret', metadata } },
  {
    resource: 'configmaps',
    base: '/api/v1/namespaces/default',
    body: { apiVersion: 'v1', kind: 'ConfigMap', metadata },
  },
  { resource: 'pods', base: '/api/v1/namespaces/default', body: { apiVersion: 'v1', kind: 'Pod', metadata, spec } },
  { resource: 'namespaces', base: '/api/v1', body: { apiVersion: 'v1', kind: 'Namespace', metadata } },
  {
    resource: 'deployments',
    base: '/apis/apps/v1/namespaces/default',
    body: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
  },
] as const;

/** Each method on the collection, the object and its parts, as a dry run where that is possible, in several spellings. */
function* requests(base: string, resource: string, name: string): Generator<Asked> {
  const paths = ['', `/${name}`, ...PARTS.map((part) => `/${name}/${part}`)].map((end) => `${base}/${resource}${end}`);
  const [group = ''] = base.split('/namespaces/');
  const old = `${group}/watch${base.slice(group.length)}/${resource}`;
  for (const path of paths) {
    for (const query of ['', '?fieldSelector=metadata.name%3Ddb', '?watch=1&timeoutSeconds=1&sendInitialEvents=0']) {
      yield { method: 'GET', target: path + query, contentType: 'application/json' };
    }
    for (const method of ['POST', 'PUT', 'DELETE'] as const) {
      yield { method, target: `${path}?dryRun=All`, contentType: 'application/json' };
    }
    for (const type of ['json-patch+json', 'merge-patch+json', 'strategic-merge-patch+json', 'apply-patch+yaml']) {
      const target = `${path}?dryRun=All&fieldManager=test`;
      yield { method: 'PATCH', target, contentType: `application/${type}` };
    }
  }
  yield { method: 'GET', target: `${old}?timeoutSeconds=1`, contentType: 'application/json' };
  yield { method: 'GET', target: `${old}/${name}?timeoutSeconds=1`, contentType: 'application/json' };
}

const PARTS = ['status', 'scale', 'finalize', 'ephemeralcontainers', 'resize', 'approval', 'binding', 'eviction'];

test.each(OBJECTS)(
  'whatever returns one of $resource touches a rule for reading it',
  async ({ resource, base, body }) => {
    const { status, text } = await ask(
      { method: 'POST', target: `${base}/${resource}`, contentType: 'application/json' },
      body,
    );
    expect([201, 409], text).toContain(status);
    const rule = { verbs: ['get'], apiGroups: ['', 'apps'], resources: [resource], resourceNames: ['db'] };
    const passed: string[] = [];
    let returned = 0;
    for (const asked of requests(base, resource, 'db')) {
      const { apiVersion, kind } = body;
      const empty = { apiVersion, kind, metadata: { name: 'db' } };
      const sent = asked.contentType === 'application/json-patch+json' ? [] : empty;
      // oxlint-disable-next-line no-await-in-loop
      const answer = await ask(asked, sent);
      if (!answer.text.includes(CANARY)) continue;
      returned += 1;
      if (!touches(rule, asked)) passed.push(`${asked.method} ${asked.target} ${answer.status}`);
    }
    expect(passed).toEqual([]);
    expect(returned).toBeGreaterThan(8);
  },
);

interface Discovered {
  readonly name: string;
  readonly kind: string;
}

test('each part of a resource that has the form of the whole touches a rule for reading it', async () => {
  const read = async (target: string): Promise<unknown> =>
    JSON.parse((await ask({ method: 'GET', target, contentType: 'application/json' }, {})).text);
  const { groups } = (await read('/apis')) as { groups: readonly { versions: readonly { groupVersion: string }[] }[] };
  const bases = groups.flatMap(({ versions }) => versions.map(({ groupVersion }) => `/apis/${groupVersion}`));
  const passed: string[] = [];
  let parts = 0;
  for (const base of ['/api/v1', ...bases]) {
    // oxlint-disable-next-line no-await-in-loop
    const { resources } = (await read(base)) as { resources: readonly Discovered[] };
    const kinds = new Map(resources.map(({ name, kind }) => [name, kind]));
    for (const { name, kind } of resources) {
      const [resource = '', part] = name.split('/');
      // The log is text, whatever discovery says.
      if (part === undefined || part === 'log' || kinds.get(resource) !== kind) continue;
      parts += 1;
      const asked = { method: 'PATCH', target: `${base}/${resource}/db/${part}`, contentType: '' } as const;
      if (!touches({ verbs: ['get'], apiGroups: ['*'], resources: [resource] }, asked)) passed.push(`${base} ${name}`);
    }
  }
  expect(passed).toEqual([]);
  expect(parts).toBeGreaterThan(20);
});

test('an eviction deletes the pod, and touches a rule for deleting it', async () => {
  const base = '/api/v1/namespaces/default/pods';
  const post = (target: string): Asked => ({ method: 'POST', target, contentType: 'application/json' });
  const evicted = { name: 'evicted' };
  await ask(post(base), { apiVersion: 'v1', kind: 'Pod', metadata: evicted, spec });
  const asked = post(`${base}/evicted/eviction`);
  const { status, text } = await ask(asked, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: evicted });
  expect(status, text).toBe(201);
  expect((await ask({ ...asked, method: 'GET', target: `${base}/evicted` }, {})).status).toBe(404);
  expect(touches({ verbs: ['delete'], apiGroups: [''], resources: ['pods'] }, asked)).toBe(true);
});
