/**
 * What delegated sessions may do, request by request: at the client, in the audit log, and at an API server that records what it is asked.
 * test/cluster/delegation.test.ts asks a real one the same.
 */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseLimit } from '../../src/core/delegation/parse.ts';
import type { RightsLimit } from '../../src/core/delegation/rights.ts';
import { ALICE, open, pairsOf, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestPlane, TestUser } from '../support/data-plane.ts';
import {
  bodyOf,
  NAMESPACE,
  RULES,
  SCOPES,
  upgradeHeaders,
  type DelegatedRequest,
} from '../support/delegated-requests.ts';
import {
  askAll,
  atClient,
  eventsById,
  expectedOf,
  inAuditLog,
  isUnrecorded,
  names,
  RIGHTS,
  verdicts,
  type AskedRow,
} from '../support/delegated-table.ts';
import { delegateTo } from '../support/delegated-user.ts';
import { answerReviews } from '../support/reviews.ts';

const LIMITS: Readonly<Record<(typeof SCOPES)[number], unknown>> = {
  'read-only in one namespace': { preset: 'read-only', namespaces: [NAMESPACE] },
  'read-only with Secrets': { preset: 'read-only-with-secrets' },
  rules: parse(RULES),
};

function limitOf(value: unknown): RightsLimit {
  const limit = parseLimit(value);
  if (!limit.ok) throw new Error(`${limit.reason.place}: ${limit.reason.message}`);
  return limit.value;
}

let plane: TestPlane;
let alice: TestUser;
beforeAll(async () => {
  plane = await startPlane();
  alice = await signIn(plane);
  plane.upstream.answer = answerReviews(() => ({ allowed: true })).answer;
  plane.upstream.answerUpgrade = (_req, socket) => {
    socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n');
  };
});
afterAll(() => plane.close());

async function ask(user: TestUser, asked: DelegatedRequest) {
  const body = asked.upgrade === undefined ? bodyOf(asked) : undefined;
  const headers = { 'content-type': 'application/json', ...upgradeHeaders(asked), ...asked.headers };
  const req = open(plane, user, asked.path, { method: asked.method, headers });
  req.end(body);
  const [response] = (await Promise.race([once(req, 'response'), once(req, 'upgrade')])) as [IncomingMessage];
  let text = '';
  if (response.statusCode !== 101) for await (const part of response) text += String(part);
  req.destroy();
  return { status: response.statusCode ?? 0, auditId: String(response.headers['audit-id']), text };
}

it('no row is there twice', () => {
  expect(new Set(names).size).toBe(names.length);
});

describe.each(SCOPES)('a session that is delegated: %s', (scope) => {
  const name = `agent-${SCOPES.indexOf(scope)}`;
  let rows: readonly AskedRow[];
  beforeAll(async () => {
    const agent = await delegateTo(plane, alice, name, { limits: [limitOf(LIMITS[scope])] });
    plane.upstream.clear();
    rows = await askAll({ ask: (asked) => ask(agent, asked) }, scope);
  });

  it('has what the table says, and for the rest a Status as RBAC would write it', () => {
    expect(verdicts(rows, atClient(name, RIGHTS[scope]))).toEqual(expectedOf(rows));
  });

  it('is in the audit log with the user and the actor', async () => {
    const ended = (): ReadonlyMap<string, unknown> => eventsById(plane.audited);
    await until(() => rows.every(({ auditId, asked }) => ended().has(auditId) || isUnrecorded(asked)), 'all events');
    const username = ALICE.username;
    expect(verdicts(rows, inAuditLog({ name, username }, eventsById(plane.audited)))).toEqual(expectedOf(rows));
  });

  it('is known to the API server with the user and the actor, and nothing of what was rejected', () => {
    const seen = new Map(
      plane.upstream.requests.map(({ rawHeaders }) => {
        const headers = new Map(pairsOf(rawHeaders).map(([header, value]) => [header.toLowerCase(), value]));
        return [headers.get('audit-id') ?? '', headers] as const;
      }),
    );
    const atApiServer = ({ auditId }: AskedRow): string => {
      const headers = seen.get(auditId);
      if (headers === undefined) return 'rejected';
      const extra = (key: string): unknown => headers.get(`impersonate-extra-${encodeURIComponent(key).toLowerCase()}`);
      const who = [headers.get('impersonate-user'), extra('portcullis.dev/session'), extra('portcullis.dev/actor')];
      return who.join(', ') === [ALICE.username, alice.session.id, name].join(', ')
        ? 'allowed'
        : `as ${who.join(', ')}`;
    };
    expect(verdicts(rows, atApiServer)).toEqual(expectedOf(rows));
  });
});
