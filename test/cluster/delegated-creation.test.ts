import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mayCreate } from '../../src/core/delegation/creation.ts';
import { requestInfo } from '../../src/core/request/request-info.ts';
import { startBareApiServer, type BareApiServer } from './bare-api-server.ts';

interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

let server: BareApiServer;
let dispatcher: Agent;

beforeAll(async () => {
  server = await startBareApiServer();
  dispatcher = new Agent({ connect: { ca: server.ca } });
});
afterAll(async () => {
  await dispatcher.close();
  await server.close();
});

interface Answer {
  readonly status: number;
  readonly json: { readonly message?: string } & Readonly<Record<string, unknown>>;
}

async function ask(method: 'GET' | 'PUT' | 'PATCH', path: string, body?: object, type?: string): Promise<Answer> {
  const { statusCode, body: answer } = await request(`${server.url}${path}`, {
    method,
    dispatcher,
    headers: { authorization: `Bearer ${server.token}`, 'content-type': type ?? 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: statusCode, json: (await answer.json()) as Answer['json'] };
}

/** All resources of the API server, as the path of an object that is not there. */
async function* missingObjects(): AsyncGenerator<{ readonly path: string; readonly object: object } & Resource> {
  const { groups } = (await ask('GET', '/apis')).json as unknown as {
    groups: readonly { versions: readonly { groupVersion: string }[] }[];
  };
  const versions = groups.flatMap((group) => group.versions.map(({ groupVersion }) => groupVersion));
  for (const apiVersion of ['v1', ...versions]) {
    const base = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
    const { resources } = (await ask('GET', base)).json as unknown as { resources: readonly Resource[] };
    for (const resource of resources.filter(({ name }) => !name.includes('/'))) {
      const { name, kind, namespaced } = resource;
      const path = `${base}${namespaced ? '/namespaces/default' : ''}/${name}/missing`;
      yield { ...resource, path, object: { apiVersion, kind, metadata: { name: 'missing' } } };
    }
  }
}

test('no request creates an object unless the limits of a delegated session ask for create', async () => {
  const wrong: string[] = [];
  let changed = 0;
  for await (const { path, object, verbs } of missingObjects()) {
    const judge = async (method: 'PUT' | 'PATCH', type: string): Promise<void> => {
      const { status, json } = await ask(method, `${path}?fieldManager=test&dryRun=All`, object, type);
      changed += 1;
      if ((status !== 404) !== mayCreate(requestInfo(method, path), [type]))
        wrong.push(`${method} ${path} ${status} ${json.message}`);
    };
    if (verbs.includes('update')) await judge('PUT', 'application/json');
    if (verbs.includes('patch')) await judge('PATCH', 'application/apply-patch+yaml');
    if (verbs.includes('patch')) await judge('PATCH', 'application/merge-patch+json');
    if (verbs.includes('patch')) await judge('PATCH', 'application/json-patch+json');
  }
  expect(wrong).toEqual([]);
  expect(changed).toBeGreaterThan(100);
});
