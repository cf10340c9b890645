import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { cliError } from '../../../src/cli/errors.ts';
import type { HttpResponse } from '../../../src/cli/http/http-client.ts';
import type { JsonRecord } from '../../../src/cli/http/json-shape.ts';
import type { ClusterApi } from '../../../src/cli/session/cluster-api.ts';
import { readKind } from '../../../src/posture/cluster-lists.ts';
import { prefixesOf, readAll } from '../../../src/posture/posture-command.ts';
import { createChecks } from '../../../src/posture/rules/evaluate.ts';
import { KINDS, type Kind } from '../../../src/posture/rules/kinds.ts';

const ok = (body: JsonRecord): HttpResponse => ({ status: 200, body });
const refused = (status: number, reason: string): HttpResponse => ({ status, body: { kind: 'Status', reason } });
const tooLong = () => cliError('upstream_unavailable', 'too long', undefined, { reason: 'answer_too_long' });

interface Asked {
  readonly path: string;
  readonly limit: number;
  readonly from: number;
  readonly accept: string;
}

/** A cluster that serves `count` objects, page by page; what `special` answers goes first. */
function clusterOf(count: number, special: (asked: Asked, turn: number) => HttpResponse | undefined = () => undefined) {
  const asked: Asked[] = [];
  const api: ClusterApi = {
    get: async (path, accept) => {
      const url = new URL(path, 'https://cluster.example');
      const limit = Number(url.searchParams.get('limit'));
      const from = Number(url.searchParams.get('continue') ?? 0);
      asked.push({ path, limit, from, accept });
      const early = special({ path, limit, from, accept }, asked.length);
      if (early !== undefined) return early;
      const items = Array.from({ length: Math.min(limit, count - from) }, (_, index) => ({
        metadata: { name: `o-${from + index}` },
      }));
      const next = from + items.length;
      const more = next < count ? { continue: String(next), remainingItemCount: count - next } : {};
      return ok({ kind: 'SomeList', metadata: { resourceVersion: '1', ...more }, items });
    },
  };
  return { api, asked };
}

/** What counts as taken at the end. */
async function read(api: ClusterApi, kind: Kind = 'pods') {
  const state = { names: [] as string[], begun: 0, pages: [] as (readonly [number, number])[], waits: [] as number[] };
  const reader = {
    begin: () => {
      state.names = [];
      state.begun += 1;
    },
    add: (object: JsonRecord) => {
      state.names.push(String((object['metadata'] as JsonRecord)['name']));
    },
    onPage: (taken: number, total: number) => {
      state.pages.push([taken, total]);
    },
  };
  const wait = (ms: number): Promise<void> => {
    state.waits.push(ms);
    return Promise.resolve();
  };
  return { why: await readKind(api, kind, reader, wait), ...state };
}

describe('a list of a cluster', () => {
  test('is read to its end in pages of 500, each object once', async () => {
    const { api, asked } = clusterOf(1203);
    const { why, names, pages } = await read(api);
    expect(why).toBeUndefined();
    expect(new Set(names).size).toBe(1203);
    expect(asked.map(({ limit, from }) => [limit, from])).toEqual([
      [500, 0],
      [500, 500],
      [500, 1000],
    ]);
    expect(pages).toEqual([
      [500, 1203],
      [1000, 1203],
      [1203, 1203],
    ]);
  });

  test('whose place is too old is read once more from the start, and what was taken does not count', async () => {
    const { api, asked } = clusterOf(1203, ({ from }, turn) =>
      from === 500 && turn === 2 ? refused(410, 'Expired') : undefined,
    );
    const { why, names, begun } = await read(api);
    expect(why).toBeUndefined();
    expect([names.length, new Set(names).size, begun]).toEqual([1203, 1203, 2]);
    expect(asked.map(({ from }) => from)).toEqual([0, 500, 0, 500, 1000]);
  });

  test('whose place is too old a second time is not readable, and nothing of it counts', async () => {
    const { api, asked } = clusterOf(1203, ({ from }) => (from === 500 ? refused(410, 'Expired') : undefined));
    expect(await read(api)).toMatchObject({ why: '410 Expired', names: [] });
    expect(asked).toHaveLength(4);
  });

  test('that may not be read is not readable', async () => {
    const { api, asked } = clusterOf(5, () => refused(403, 'Forbidden'));
    expect(await read(api)).toMatchObject({ why: '403 Forbidden', names: [] });
    expect(asked).toHaveLength(1);
  });

  test('that breaks off in the middle is not readable, and nothing of it counts', async () => {
    const { api } = clusterOf(1203, ({ from }) => (from === 1000 ? refused(403, 'Forbidden') : undefined));
    expect(await read(api)).toMatchObject({ why: '403 Forbidden', names: [] });
  });

  test('is asked for again where the server is busy, with a wait between, and not for ever', async () => {
    const once = clusterOf(3, (_, turn) => (turn === 1 ? refused(429, 'TooManyRequests') : undefined));
    expect(await read(once.api)).toMatchObject({ why: undefined, names: ['o-0', 'o-1', 'o-2'], waits: [500] });
    const always = clusterOf(3, () => refused(503, 'ServiceUnavailable'));
    expect(await read(always.api)).toMatchObject({ why: '503 ServiceUnavailable', waits: [500, 2000] });
  });

  test('of large objects is asked for in smaller pages, from the same place', async () => {
    const { api, asked } = clusterOf(700, ({ limit, from }) => {
      if (from === 500 && limit > 20) throw tooLong();
      return undefined;
    });
    const { why, names } = await read(api);
    expect([why, new Set(names).size]).toEqual([undefined, 700]);
    expect(asked.slice(0, 5).map(({ limit, from }) => [limit, from])).toEqual([
      [500, 0],
      [500, 500],
      [100, 500],
      [20, 500],
      [20, 520],
    ]);
  });

  test('is asked for in large pages again once the large objects are behind', async () => {
    const { api, asked } = clusterOf(50_000, ({ limit, from }) => {
      if (from < 17 && limit > 4) throw tooLong();
      return undefined;
    });
    const { why, names } = await read(api);
    expect([why, new Set(names).size]).toEqual([undefined, 50_000]);
    expect(asked.length).toBeLessThan(160);
    expect(asked.filter(({ from }) => from > 500).map(({ limit }) => limit)).toEqual(
      expect.arrayContaining([500, 500, 500]),
    );
  });

  test('of very many large objects has an end all the same', async () => {
    const { api } = clusterOf(45_000, ({ limit }) => {
      if (limit > 4) throw tooLong();
      return undefined;
    });
    expect((await read(api)).why).toBeUndefined();
  });

  test('with an object that is too large by itself is not readable', async () => {
    const { api } = clusterOf(5, () => {
      throw tooLong();
    });
    expect((await read(api)).why).toBe('one of its objects is too large');
  });

  test('that is no list is not readable; one without items is empty', async () => {
    expect((await read(clusterOf(1, () => ok({ kind: 'PodList' })).api)).why).toBe('the response is not a list');
    expect((await read(clusterOf(1, () => ok({ kind: 'PodList', items: null })).api)).why).toBeUndefined();
  });

  test('without an end is given up', async () => {
    const { api } = clusterOf(1, () => ok({ items: [], metadata: { continue: 'again' } }));
    expect((await read(api)).why).toBe('the list does not end');
  });

  test('cannot be read at all where the cluster is not reached', async () => {
    const { api } = clusterOf(1, () => {
      throw cliError('upstream_unavailable', 'away');
    });
    await expect(read(api)).rejects.toMatchObject({ code: 'upstream_unavailable' });
  });
});

describe('the prefix of the names of Portcullis’ users', () => {
  test.each([
    ['corp:jane', ['corp:platform', 'ci:deploy'], ['corp:', 'ci:', 'granted:']],
    ['https://idp.example#jane', [], []],
    ['jane@example.com', ['corp:platform'], ['corp:', 'granted:']],
    ['system:serviceaccount:a:b', [], []],
  ])('%s %j: %j', (username, groups, expected) => {
    expect(prefixesOf({ username, groups })).toEqual(expected);
  });
});

describe('Secrets', () => {
  const metadata = { kind: 'PartialObjectMetadataList', items: [{ metadata: { name: 't' } }] };

  test('are asked for by their type, and of them the metadata alone', async () => {
    const { api, asked } = clusterOf(1, () => ok(metadata));
    expect(await read(api, 'secrets')).toMatchObject({ why: undefined, names: ['t'] });
    expect(asked[0]?.accept).toBe('application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io');
    expect(asked[0]?.path).toContain('fieldSelector=type%3Dkubernetes.io%2Fservice-account-token');
  });

  test('that come whole all the same are not looked at', async () => {
    const { api } = clusterOf(1, () => ok({ ...metadata, kind: 'SecretList' }));
    expect(await read(api, 'secrets')).toMatchObject({ why: 'the server does not send only the metadata', names: [] });
  });
});

describe('a large cluster', () => {
  const MANY = 50_000;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  test('of 50,000 pods is read in little memory, with a bar that fills', async () => {
    const filler = 'x'.repeat(2000);
    let peak = 0;
    let before = 0;
    const api: ClusterApi = {
      get: async (path) => {
        const url = new URL(path, 'https://cluster.example');
        if (url.pathname !== KINDS.pods.path) return ok({ kind: 'PartialObjectMetadataList', items: [], metadata: {} });
        const from = Number(url.searchParams.get('continue') ?? 0);
        // As an answer comes: text, which nothing else holds.
        const items = Array.from({ length: 500 }, (_, index) => ({
          metadata: { name: `pod-${from + index}`, namespace: `ns-${(from + index) % 50}`, annotations: { filler } },
          spec: { serviceAccountName: 'app', containers: [{ name: 'main', image: filler }] },
        }));
        const next = from + 500;
        const more = next < MANY ? { continue: String(next), remainingItemCount: MANY - next } : {};
        const body = JSON.parse(JSON.stringify({ items, metadata: more })) as JsonRecord;
        if (from % 10_000 === 0) {
          collect();
          if (from === 0) before = process.memoryUsage().heapUsed;
          peak = Math.max(peak, process.memoryUsage().heapUsed - before);
        }
        return ok(body);
      },
    };
    const bars: string[] = [];
    const laptop = {
      showProgress: (message: string) => (bars.push(message), () => undefined),
      detail: () => undefined,
    };
    const checks = createChecks({ prefixes: ['corp:'], proxyAccount: { namespace: 'p', name: 'p' }, now: 0 });
    expect((await readAll(laptop, api, checks)).size).toBe(0);
    const findings = checks.all.flatMap((check) => check.outcome().findings);
    expect(findings).toHaveLength(50);
    expect(findings[0]?.evidence).toMatch(/ and 997 more$/);
    // All of it is over 200 MB.
    expect(peak / 1024 / 1024).toBeLessThan(10);
    expect(bars.filter((message) => message.includes('pods ')).at(-1)).toMatch(/^\[#+-+\] pods 50000 of 50000$/);
    expect(bars).toContainEqual(expect.stringMatching(/ pods 25000 of 50000$/));
  });
});
