import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { COSTS_FILE, REGENERATE_COSTS, requestCosts } from '../../../scripts/request-costs.ts';
import { accessApi } from '../../../src/api/access-api.ts';
import { delegationsApi } from '../../../src/api/delegations-api.ts';
import { sessionsApi } from '../../../src/api/sessions-api.ts';
import { stepUpApi } from '../../../src/api/step-up-api.ts';
import { CHEAP_MS, LIMITERS, type Limit } from '../../security/cost/row.ts';
import { HELD_ROWS } from '../../security/cost/held-rows.ts';
import { ROWS } from '../../security/cost/table.ts';
import { withAccess } from '../../support/admin-access.ts';
import { operationsOf } from '../../support/pages-routes.ts';
import { closeStages, openStage } from '../web/harness.ts';

const operations = ROWS.map(({ operation }) => operation);

it('is what the table says', () => {
  const isSame = readFileSync(COSTS_FILE, 'utf8') === requestCosts();
  expect(isSame, `docs/request-costs.md is out of date: ${REGENERATE_COSTS}`).toBe(true);
});

it('has a row for each route of the pages and of the APIs for own sessions, and for no other', async () => {
  const never = () => Promise.reject(new Error('unused'));
  const devices = { find: never, allow: never, refuse: never };
  const stepUps = { ...devices, findByCode: never, finish: never, proveOwn: never, whyNever: () => undefined };
  const access = withAccess();
  const consoles = { consoles: [] } as never;
  const stage = await openStage({
    change: (deps) => ({ ...(access.change?.(deps) ?? deps), devices, stepUps, consoles }),
  });
  const deps = { clock: stage.clock, config: { clusters: [], sessions: {}, limits: { signInsPerMinute: 1 } } } as never;
  const apis = [delegationsApi, accessApi, sessionsApi, stepUpApi].map((api) => api(deps, {} as never));
  const taken = [stage.web.app.router, ...apis].flatMap(operationsOf);
  await closeStages();
  const ofRouters = operations
    .filter((operation) => /^[A-Z]+ \/(?!-\/(?:admin|oauth|ca)|oauth|\.well-known)/.test(operation))
    // The second row of one operation says in brackets which one it is.
    .map((operation) => operation.replace(/ \(.*\)$/, ''));
  const others = ['GET /metrics', 'GET /livez', 'GET /readyz'];
  expect([...new Set(taken)].toSorted()).toEqual(
    [...new Set(ofRouters.filter((each) => !others.includes(each)))].toSorted(),
  );
});

it('has each thing that is held once', () => {
  const names = HELD_ROWS.map(({ what }) => what);
  expect(names).toEqual([...new Set(names)]);
});

const uses = Object.entries<Limit>(LIMITERS).flatMap(([limiter, { tests }]) =>
  tests.map(([file, title]) => ({ limiter, file, title })),
);

it.each(uses)('has a test that uses up $limiter: $file', ({ file, title }) => {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  expect(text).toContain(`('${title}`);
});

it('has each operation once, and nothing that is dear without a limit on its number', () => {
  expect(operations).toEqual([...new Set(operations)]);
  const unlimited = ROWS.filter(({ limiter }) => limiter === 'connections');
  const dear = unlimited.filter(({ bound }) => bound.cpuMs > CHEAP_MS);
  expect(dear.map(({ operation }) => operation)).toEqual([]);
});
