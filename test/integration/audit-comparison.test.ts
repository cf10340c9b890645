/**
 * Compares our audit events with those of a real kube-apiserver for the same requests, field by field. The sample was recorded by
 * test/cluster/audit-comparison.test.ts, which makes the comparison with both running.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../src/core/identity/identity.ts';
import { AUDIT_CASES, headersOf, type AuditCase } from '../support/audit-cases.ts';
import { expectSameLine, stagesHere, type ApiServerEvent } from '../support/audit-comparison.ts';
import { call, signIn, startPlane, until, type TestUser, type TestPlane } from '../support/data-plane.ts';
import { answerJson } from '../support/upstream.ts';

const sample = readFileSync(fileURLToPath(new URL('audit-comparison.sample.log', import.meta.url)), 'utf8')
  .trimEnd()
  .split('\n');

const identityOf = (name: string, groups: readonly string[]): Identity => ({
  username: `demo:${name}`,
  uid: `demo/${name}`,
  groups,
  extra: {},
});

/** The users, with the groups that the demo's identity provider gives them. */
const USERS: Readonly<Record<AuditCase['user'], Identity>> = {
  root: identityOf('root', ['demo:admins']),
  alice: identityOf('alice', ['demo:developers']),
  bob: identityOf('bob', []),
};

/** Returns the events of the kube-apiserver for one case, with the session that the case has here. */
const sampleOf = (index: number, session: string): readonly ApiServerEvent[] =>
  sample
    .filter((line) => line.includes(`"auditID":"case-${index}"`))
    .map((line) => JSON.parse(line.replaceAll('"SESSION"', JSON.stringify(session))) as ApiServerEvent);

let plane: TestPlane;
const users = new Map<string, TestUser>();
beforeAll(async () => {
  plane = await startPlane();
  for (const [name, identity] of Object.entries(USERS)) {
    users.set(name, await signIn(plane, { subject: name, identity }));
  }
});
afterAll(() => plane.close());

/** The API server of the sample: it allows every impersonation, and responds to each request with the status of the sample. */
function answerWith(code: number): void {
  plane.upstream.answer = (req, res) => {
    if (req.url === '/apis/authorization.k8s.io/v1/subjectaccessreviews') {
      return answerJson({ status: { allowed: true } }, {}, 201)(req, res);
    }
    res.writeHead(code, { 'content-type': 'application/json' }).end(code === 204 ? undefined : '{}');
  };
}

describe('the audit event of a request, compared with the one of a kube-apiserver', () => {
  const cases = AUDIT_CASES.map((one, index) => ({
    one,
    index,
    what: `${index}: ${one.user} ${one.method} ${one.path}`,
  }));

  it('is compared for each case, and each case has a sample', () => {
    const known = new Set(sample.map((line) => (JSON.parse(line) as ApiServerEvent).auditID));
    expect([...known]).toEqual(cases.map(({ index }) => `case-${index}`));
  });

  it.each(cases)('has the same value in every field: $what', async ({ one, index }) => {
    const user = users.get(one.user);
    if (user === undefined) throw new Error('no user has that name');
    const theirs = stagesHere(sampleOf(index, user.session.id));
    answerWith(theirs.at(-1)?.responseStatus?.code ?? 0);
    plane.audited.length = 0;
    const { method, path, body } = one;
    await call(plane, user, path, { method, headers: headersOf(one), ...(body === undefined ? {} : { body }) });
    await until(() => plane.audited.at(-1)?.stage === 'ResponseComplete', 'the line at the end');
    expect(plane.audited.map(({ stage }) => stage)).toEqual(theirs.map(({ stage }) => stage));
    plane.audited.forEach((event, at) => expectSameLine(event, theirs[at] as ApiServerEvent));
  });
});
