/**
 * Delegated sessions before a real API server: every request of the table, at the client, in our audit log and in that of the API server;
 * and what kubectl and Helm show.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiServerEvent } from '../support/audit-comparison.ts';
import { auditedBy, whatWasDone } from '../support/audit-log.ts';
import { SCOPES } from '../support/delegated-requests.ts';
import { delegate, delegateScope, type DelegatedSession } from '../support/delegated-session.ts';
import {
  askAll,
  atClient,
  eventsById,
  expectedOf,
  inAuditLog,
  isUnrecorded,
  REJECTED,
  RIGHTS,
  verdicts,
  type AskedRow,
} from '../support/delegated-table.ts';
import { CliContext, type Finished } from '../support/kubectl.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { expectJoinedAudit } from './audit-join.ts';
import { KUBECTL_ROWS } from './delegated-kubectl.ts';
import { startRealInstance, type RealInstance } from './real-instance.ts';

const newest = await newestClients();
const KUBECTLS = [
  { version: 'of the system', program: 'kubectl' },
  { version: '1.35', program: newest.kubectl },
];
const nameOf = (scope: (typeof SCOPES)[number]): string => `agent-${SCOPES.indexOf(scope)}`;

const WIDGETS = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: widgets.example.com }
spec:
  group: example.com
  scope: Namespaced
  names: { plural: widgets, singular: widget, kind: Widget }
  versions:
    - name: v1
      served: true
      storage: true
      schema: { openAPIV3Schema: { type: object } }
`;

let real: RealInstance;
let root: CliContext;

/** @throws Error where it fails: what a test stands on */
async function done(running: Promise<Finished>): Promise<Finished> {
  const finished = await running;
  if (finished.code !== 0) throw new Error(finished.all);
  return finished;
}

beforeAll(async () => {
  real = await startRealInstance();
  root = new CliContext(real.instance, 'root');
  await done(root.portcullis('login'));
  await done(root.kubectl('create', 'serviceaccount', 'builder'));
  await done(root.kubectl('create', 'secret', 'generic', 'of-web', '--from-literal', 'a=b'));
  await done(root.kubectl('create', 'namespace', 'payments'));
  // kubectl asks for a port of a pod that runs, and here is no node to report that it does.
  const running = ['--subresource', 'status', '--type', 'merge', '--patch', '{"status":{"phase":"Running"}}'];
  await done(root.kubectl('patch', 'pod', 'web-1', ...running));
  await done(root.kubectlWith(WIDGETS, 'create', '--filename', '-'));
  await done(root.kubectl('wait', 'crd/widgets.example.com', '--for', 'condition=Established'));
});
afterAll(async () => {
  root.close();
  await real.stop();
});

describe.each(SCOPES)('a session that is delegated: %s', (scope) => {
  const name = nameOf(scope);
  let session: DelegatedSession;
  let rows: readonly AskedRow[];
  beforeAll(async () => {
    session = await delegateScope(real.instance, root, name, scope);
    rows = await askAll(session, scope);
  });
  afterAll(() => session.close());

  it('has what the table says, and for the rest a Status as RBAC would write it', () => {
    expect(verdicts(rows, atClient(name, RIGHTS[scope]))).toEqual(expectedOf(rows));
  });

  it('is in our audit log with the user and the actor', async () => {
    expect(
      verdicts(rows, inAuditLog({ name, username: 'demo:root' }, eventsById(await auditedBy(real.instance)))),
    ).toEqual(expectedOf(rows));
  });

  it('is in the API server’s with the user and the actor, and there is nothing of what was rejected', async () => {
    const theirs = new Map<string, ApiServerEvent>();
    const here = rows.filter(({ expected }) => expected === 'allowed').map(({ auditId }) => auditId);
    await expect
      .poll(async () => {
        for (const event of await real.apiServerAudit()) theirs.set(event.auditID, event);
        return here.filter((id) => !theirs.has(id));
      })
      .toEqual([]);
    const ours = eventsById(await auditedBy(real.instance));
    const sessionsOf = ({ auditId }: AskedRow): readonly (string | undefined)[] => {
      const { annotations } = ours.get(auditId) ?? {};
      return [annotations?.['portcullis.dev/session'], annotations?.['portcullis.dev/delegated-session']];
    };
    // Of reads that are in no audit log of ours, it is the same session.
    const recorded = rows.map(sessionsOf).find(([own]) => own !== undefined);
    const atApiServer = (row: AskedRow): string => {
      const event = theirs.get(row.auditId);
      if (event === undefined) return 'rejected';
      const { username, extra = {} } = event.impersonatedUser ?? {};
      const [own, delegated] = isUnrecorded(row.asked) ? (recorded ?? []) : sessionsOf(row);
      const expected = {
        'portcullis.dev/session': [own],
        'portcullis.dev/delegated-session': [delegated],
        'portcullis.dev/actor': [name],
      };
      const isWhole = username === 'demo:root' && isDeepStrictEqual({ ...extra }, expected);
      return isWhole ? 'allowed' : `as ${username}, ${JSON.stringify(extra)}`;
    };
    expect(verdicts(rows, atApiServer)).toEqual(expectedOf(rows));
  });

  const index = SCOPES.indexOf(scope);
  const typed = KUBECTLS.flatMap((kubectl) => KUBECTL_ROWS.map((row) => ({ ...row, ...kubectl })));

  async function type({ args, environment, program }: (typeof typed)[number]) {
    const client = new CliContext(real.instance, name, { ...session.agent.environment, ...environment }, program);
    const before = (await auditedBy(real.instance)).length;
    const finished = await client.kubectl(...args);
    const since = (await auditedBy(real.instance)).slice(before);
    const rejected = since.filter(({ annotations }) => annotations['portcullis.dev/reason'] === REJECTED);
    return { ...finished, rejected };
  }

  it.each(typed.filter(({ allowed }) => allowed[index]))('lets kubectl $version $command ($protocol)', async (row) => {
    const { all, rejected } = await type(row);
    expect(all).not.toContain('run it in your own session');
    expect(rejected).toEqual([]);
    // The API server says what the user may do, and knows nothing of the session.
    const warned = all.includes(`Warning: this session was delegated to ${name} and may do less`);
    expect(warned, all).toBe(row.args[1] === 'can-i');
  });

  it.each(typed.filter(({ allowed }) => !allowed[index]))(
    'tells kubectl $version why it may not $command ($protocol)',
    async (row) => {
      const { code, all, rejected } = await type(row);
      expect(code, all).not.toBe(0);
      expect(all).toContain(`this session was delegated to "${name}": ${RIGHTS[scope]}`);
      expect(rejected).not.toEqual([]);
      const ids = new Set(rejected.map(({ auditID }) => auditID));
      expect((await real.apiServerAudit()).filter(({ auditID }) => ids.has(auditID))).toEqual([]);
    },
  );
});

describe('Helm', () => {
  const CHART = {
    'Chart.yaml': 'apiVersion: v2\nname: tiny\nversion: 0.1.0\n',
    'templates/settings.yaml':
      'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: "{{ .Release.Name }}-settings" }\ndata: { a: b }\n',
  };
  let chart: string;
  const sessions: DelegatedSession[] = [];

  const helm = (client: CliContext, driver: string, ...args: string[]): Promise<Finished> => {
    const home = join(real.instance.files.directory, 'helm');
    const folders = { HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home, HELM_DRIVER: driver };
    return new CliContext(real.instance, 'root', { ...client.environment, ...folders }).open(newest.helm, args)
      .finished;
  };
  const agentOf = async (name: string, ...flags: string[]): Promise<CliContext> => {
    const session = await delegate(real.instance, root, name, ['--read-only', '--namespace', 'default', ...flags]);
    sessions.push(session);
    return session.agent;
  };

  beforeAll(async () => {
    chart = join(real.instance.files.directory, 'tiny');
    await mkdir(join(chart, 'templates'), { recursive: true });
    for (const [name, text] of Object.entries(CHART)) await writeFile(join(chart, name), text);
    for (const [driver, release] of [
      ['secret', 'shop'],
      ['configmap', 'shelf'],
    ] as const) {
      await done(helm(root, driver, 'install', release, chart));
    }
  });
  afterAll(() => sessions.forEach((each) => each.close()));

  it('reads releases where Secrets are allowed, and changes none', async () => {
    const agent = await agentOf('reads-secrets', '--with-secrets');
    expect((await helm(agent, 'secret', 'list', '--short')).stdout).toBe('shop\n');
    expect((await helm(agent, 'secret', 'get', 'manifest', 'shop')).stdout).toContain('name: "shop-settings"');
    expect((await helm(agent, 'secret', 'status', 'shop')).stdout).toContain('STATUS: deployed');
    const refused = await helm(agent, 'secret', 'uninstall', 'shop');
    expect(refused.code, refused.all).toBe(1);
    const rejected = (await auditedBy(real.instance)).filter(
      ({ annotations }) =>
        annotations['portcullis.dev/actor'] === 'reads-secrets' && annotations['portcullis.dev/reason'] === REJECTED,
    );
    expect([...whatWasDone(rejected)]).toEqual(expect.arrayContaining(['delete configmaps']));
    expect((await root.kubectl('get', 'configmap', 'shop-settings')).code).toBe(0);
  });

  it('reads releases that are kept in ConfigMaps without the right to Secrets', async () => {
    const agent = await agentOf('reads');
    const refused = await helm(agent, 'secret', 'list');
    expect(refused.code, refused.all).toBe(1);
    expect(refused.all).toContain('this session was delegated to "reads": read-only in default');
    expect((await helm(agent, 'configmap', 'list', '--short')).stdout).toBe('shelf\n');
    expect((await helm(agent, 'configmap', 'get', 'manifest', 'shelf')).stdout).toContain('name: "shelf-settings"');
  });
});

describe('the records of all this', () => {
  it('join on the Audit-ID, and say the same', async () => {
    expect(await expectJoinedAudit(real)).toBeGreaterThan(300);
  });
});
