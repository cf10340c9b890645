/** Compares Portcullis's audit log with a real kube-apiserver's, field by field; and with the sample of it that `npm test` has. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { AUDIT_CASES, headersOf, type AuditCase } from '../support/audit-cases.ts';
import { expectSameLine, scrubbed, stagesHere, type ApiServerEvent } from '../support/audit-comparison.ts';
import { auditedBy } from '../support/audit-log.ts';
import { CliContext } from '../support/kubectl.ts';
import { startRealInstance, type RealInstance } from './real-instance.ts';

interface Client {
  readonly authorization: string;
  readonly dispatcher: Agent;
}

let real: RealInstance;
const clients = new Map<string, Client>();
/** By the audit id that the response carried, in the order of the cases. */
const ids: string[] = [];
let ours: readonly AuditEvent[];
let theirs: readonly ApiServerEvent[];

async function clientOf(user: string): Promise<Client> {
  const machine = new CliContext(real.instance, user);
  const printed = await machine.portcullis('get-token', '--server', real.instance.urls.web, '--cluster', 'demo');
  const { status } = JSON.parse(printed.stdout) as {
    status: { token: string; clientCertificateData: string; clientKeyData: string };
  };
  const ca = await readFile(join(real.instance.files.directory, 'ca.crt'));
  const dispatcher = new Agent({ connect: { ca, cert: status.clientCertificateData, key: status.clientKeyData } });
  return { authorization: `Bearer ${status.token}`, dispatcher };
}

async function send(one: AuditCase): Promise<string> {
  const client = clients.get(one.user);
  if (client === undefined) throw new Error(`no user is signed in as ${one.user}`);
  const answer = await request(`${real.instance.urls.api}${one.path}`, {
    method: one.method as 'GET',
    dispatcher: client.dispatcher,
    headers: { ...headersOf(one), authorization: client.authorization },
    ...(one.body === undefined ? {} : { body: one.body }),
  });
  await answer.body.dump();
  return String(answer.headers['audit-id']);
}

const ofId = <E extends { readonly auditID: string }>(events: readonly E[], id: string): readonly E[] =>
  events.filter(({ auditID }) => auditID === id);

beforeAll(async () => {
  real = await startRealInstance();
  for (const user of ['root', 'alice', 'bob']) clients.set(user, await clientOf(user));
  for (const one of AUDIT_CASES) ids.push(await send(one));
  // A line is written when both sides are closed, which may be after the client has its response.
  const whole = (events: readonly { auditID: string; stage: string }[]): boolean =>
    ids.every((id) => ofId(events, id).some(({ stage }) => stage === 'ResponseComplete'));
  const patience = { timeout: 20_000, interval: 100 };
  await vi.waitUntil(async () => whole((ours = await auditedBy(real.instance))), patience);
  const read = async () => (theirs = await real.apiServerAudit());
  await vi.waitUntil(async () => whole(await read()), patience);
});
afterAll(async () => {
  for (const { dispatcher } of clients.values()) await dispatcher.close();
  await real.stop();
});

describe('each request, in both records', () => {
  it('has the same events, and each has the same value in every field', () => {
    for (const id of ids) {
      const expected = stagesHere(ofId(theirs, id));
      // What was written ahead has a line more here: the API server's policy leaves that stage out.
      const found = ofId(ours, id).filter(({ stage }) => stage !== 'RequestReceived');
      const { requestURI } = expected[0] ?? {};
      expect([requestURI, found.map(({ stage }) => stage)]).toEqual([requestURI, expected.map(({ stage }) => stage)]);
      found.forEach((event, index) => expectSameLine(event, expected[index] as ApiServerEvent));
    }
  });

  it('was received here first, by clocks of one machine', () => {
    for (const event of ours.filter(({ auditID }) => ids.includes(auditID))) {
      const [there] = ofId(theirs, event.auditID);
      const ahead = Date.parse(event.requestReceivedTimestamp) - Date.parse(there?.requestReceivedTimestamp ?? '');
      expect(ahead).toBeLessThanOrEqual(1);
    }
  });

  it('is what the sample has that `npm test` compares with; -u writes it again', async () => {
    const sample = ids.flatMap((id, index) => ofId(theirs, id).map((event) => scrubbed(event, `case-${index}`)));
    const text = sample.map((event) => `${JSON.stringify(event)}\n`).join('');
    await expect(text).toMatchFileSnapshot('../integration/audit-comparison.sample.log');
  });
});
