import { mkdir } from 'node:fs/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startMonitoring, type Monitoring } from '../../demo/monitoring.ts';
import { freePorts } from '../../demo/ports.ts';
import { startAlertmanager, type TestAlertmanager } from './alertmanager.ts';
import { dashboards, deployedRules, filledIn } from '../support/deployed.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';

/** What a machine under load needs; nothing waits for as long as this when all is well. */
const PATIENCE = { timeout: 50_000, interval: 250 };

/** Needs a day of history, so promtool alone proves it (deploy/prometheus/tests/suspicion.yaml). */
const NEEDS_HISTORY = /portcullis:sensitive_requests:usual1h/;

interface Credential {
  readonly token: string;
  readonly clientCertificateData: string;
  readonly clientKeyData: string;
}

describe('a real Prometheus next to the demo', () => {
  let instance: RunningDemo;
  let alertmanager: TestAlertmanager;
  let monitoring: Monitoring;

  beforeAll(async () => {
    instance = await startTestInstance();
    const folder = `${instance.files.directory}/alerts`;
    await mkdir(folder);
    alertmanager = await startAlertmanager(folder);
    const [port = 0] = await freePorts(1);
    const started = await startMonitoring({
      directory: instance.files.directory,
      port,
      targets: [new URL(instance.urls.ops).host],
      alertmanager: alertmanager.address,
      everySeconds: 1,
    });
    if (started === undefined) throw new Error('prometheus is not installed: sh scripts/tools prometheus');
    monitoring = started;
    await scraped();
    await traffic();
  });
  afterAll(async () => {
    await monitoring?.stop();
    await alertmanager?.stop();
    await instance?.stop();
  });

  const api = async (path: string, query: Record<string, string>): Promise<unknown> => {
    const answer = await fetch(`${monitoring.url}/api/v1/${path}?${new URLSearchParams(query).toString()}`);
    const body = (await answer.json()) as { readonly status: string; readonly data: unknown; readonly error?: string };
    if (body.status !== 'success') throw new Error(`${query['query']}: ${body.error}`);
    return body.data;
  };
  /** Numbers only: a ratio of nothing to nothing is no data. */
  const samples = async (query: string): Promise<readonly number[]> => {
    const { result } = (await api('query', { query })) as { result: readonly { value: readonly [number, string] }[] };
    return result.map(({ value: [, text] }) => Number(text)).filter((value) => !Number.isNaN(value));
  };

  /** The first scrape comes before the traffic, so that Prometheus sees the counts grow. */
  const scraped = (): Promise<void> =>
    vi.waitFor(async () => expect(await samples('portcullis_build_info')).toEqual([1]), PATIENCE);

  const seen = (query: string): Promise<void> =>
    vi.waitFor(async () => expect(await samples(query)).not.toEqual([]), PATIENCE);

  /** A day in a few seconds: work, requests that are rejected, and a stolen credential that is tried after its end. */
  async function traffic(): Promise<void> {
    const alice = new CliContext(instance, 'alice');
    const root = new CliContext(instance, 'root');
    try {
      const login = await alice.portcullis('login', '--server', instance.urls.web);
      expect(login.code, login.all).toBe(0);
      const pods = await alice.kubectl('get', 'pods');
      expect(pods.code, pods.all).toBe(0);
      // A series that Prometheus has seen once has not grown yet.
      await seen('portcullis_requests_total{verb="list",code="200"}');
      await alice.kubectl('get', 'pods');
      await alice.kubectl('exec', 'web-1', '--', 'sh', '-c', 'echo hello');
      expect((await alice.kubectl('get', 'pods', '--as', 'demo:root')).code).not.toBe(0);
      const asked = await alice.portcullis('get-token', '--server', instance.urls.web, '--cluster', 'demo');
      const { status } = JSON.parse(asked.stdout) as { status: Credential };
      const rootLogin = await root.portcullis('login', '--server', instance.urls.web);
      expect(rootLogin.code, rootLogin.all).toBe(0);
      await fromManyPlaces(status);
      alice.openKubectl('get', 'pods', '--watch');
      await seen('portcullis_streams_open{kind="watch"} == 1');
      await instance.server.guard.revoke({ target: { kind: 'provider', provider: 'demo' } });
      await tryAgain(status);
    } finally {
      alice.close();
      root.close();
    }
  }

  /** @returns the status of each response */
  async function use(credential: Credential, times: number, localAddress = '127.0.0.1'): Promise<readonly number[]> {
    const { token, clientCertificateData: cert, clientKeyData: key } = credential;
    const agent = new Agent({ localAddress, connect: { cert, key, rejectUnauthorized: false } });
    const headers = { authorization: `Bearer ${token}` };
    const statuses: number[] = [];
    for (let n = 0; n < times; n += 1) {
      const url = `https://127.0.0.1:${instance.server.ports.api}/clusters/demo/api/v1/namespaces/default/pods`;
      const answer = await request(url, { dispatcher: agent, headers });
      await answer.body.dump();
      statuses.push(answer.statusCode);
    }
    await agent.destroy();
    return statuses;
  }

  async function fromManyPlaces(credential: Credential): Promise<void> {
    for (const host of [2, 3, 4, 5, 6]) expect(await use(credential, 1, `127.0.0.${host}`)).toEqual([200]);
  }

  async function tryAgain(credential: Credential): Promise<void> {
    expect(new Set(await use(credential, 8))).toEqual(new Set([401]));
  }

  const panelQueries = dashboards().flatMap(({ file, panels }) =>
    panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ file, title, expr }))),
  );

  it.each(panelQueries.filter(({ expr }) => !NEEDS_HISTORY.test(expr)))('$file, $title: $expr', async ({ expr }) => {
    await expect.poll(() => samples(filledIn(expr, '5m')), PATIENCE).not.toEqual([]);
  });

  it.each(deployedRules().filter(({ record = '' }) => record !== '' && !NEEDS_HISTORY.test(record)))(
    'records $record',
    async ({ record = '' }) => {
      await expect.poll(() => samples(record), PATIENCE).not.toEqual([]);
    },
  );

  it.each([
    'portcullis_refusals_total{reason="session_revoked"} >= 8',
    'portcullis_refusals_total{reason="impersonation_denied"} >= 1',
    'portcullis_cuts_total{reason="session_revoked"} >= 1',
    'portcullis_sensitive_requests_total{kind="exec"} >= 1',
    'portcullis_session_addresses_exceeded_total == 1',
    'portcullis_sign_ins_total{provider="demo",outcome="ok"} == 2',
    'portcullis_revocations_total{target="provider"} == 1',
    'portcullis_provider_reachable{provider="demo"} == 1',
    'portcullis_streams_open{kind="watch"} == 0',
    'portcullis_audit_events_total{sink="file",outcome="written"} > 10',
    'portcullis_key_age_seconds{kind="signing"} < 600',
    'portcullis_certificate_expiry_seconds{kind="api"} > 86400',
    'portcullis_build_info{version!="unknown"} == 1',
  ])('has counted what happened: %s', async (query) => {
    await expect.poll(() => samples(query), PATIENCE).toHaveLength(1);
  });

  it('marks alerts in the dashboards', async () => {
    const [mark = ''] = dashboards().flatMap(({ annotations }) => annotations.list.map(({ expr }) => expr));
    await expect.poll(() => samples(mark), PATIENCE).not.toEqual([]);
  });

  it('evaluates every rule without an error', async () => {
    const { groups } = (await api('rules', {})) as {
      groups: readonly { rules: readonly { name: string; health: string; lastError?: string }[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    expect(rules).toHaveLength(deployedRules().length);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  });

  it('keeps the id in the audit log of a request with the bucket that it fell into', async () => {
    const now = Date.now() / 1000;
    const found = async (): Promise<readonly Record<string, string>[]> => {
      const query = 'portcullis_request_duration_seconds_bucket';
      const series = (await api('query_exemplars', { query, start: String(now - 600), end: String(now + 60) })) as {
        exemplars: { labels: Record<string, string> }[];
      }[];
      return series.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels));
    };
    await expect.poll(found, PATIENCE).not.toEqual([]);
    expect((await found())[0]?.['audit_id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('notifies Alertmanager, and Alertmanager its receiver, that a revoked credential is still used', async () => {
    await expect
      .poll(() => alertmanager.received.map(({ labels }) => labels['alertname']), PATIENCE)
      .toEqual(expect.arrayContaining(['PortcullisRevokedCredentialTried', 'PortcullisSessionManyAddresses']));
    expect(
      alertmanager.received.find(({ labels }) => /RevokedCredential/.test(labels['alertname'] ?? '')),
    ).toMatchObject({
      status: 'firing',
      labels: { severity: 'warning', concern: 'security', job: 'portcullis' },
      annotations: { runbook: 'docs/runbooks/revoked-credential-tried.md' },
    });
  });
});
