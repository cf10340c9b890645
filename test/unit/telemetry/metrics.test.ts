import { describe, expect, it, vi } from 'vitest';
import { makeCertificates } from '../../../demo/certificates.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/telemetry.ts';

/** The value of one series, as a scrape sees it. */
async function valueOf(metrics: Metrics, series: string): Promise<string | undefined> {
  const line = (await metrics.render()).body.split('\n').find((text) => text.startsWith(`${series} `));
  return line?.slice(series.length + 1);
}

const seriesOf = async (metrics: Metrics, name: string): Promise<string[]> =>
  (await metrics.render()).body.split('\n').filter((line) => line.startsWith(`${name}{`));

describe('createMetrics', () => {
  it('has every metric of the reference by name and type, and those of Node', async () => {
    const metrics = createMetrics();
    metrics.observeSessions(() => 1);
    metrics.observeStore(() => 0.5);
    metrics.observeView(() => ({ stalenessSeconds: 0, fenced: false }));
    metrics.observeAudit(() => ({ blocked: false }));
    metrics.observeSealed(() => 0);
    const types = (await metrics.render()).body
      .match(/^# TYPE portcullis_.*$/gm)
      ?.map((line) => line.slice('# TYPE '.length));
    expect(types?.toSorted()).toEqual([
      'portcullis_access_approvals_of_week gauge',
      'portcullis_access_approvers_of_week gauge',
      'portcullis_access_break_glass_total counter',
      'portcullis_access_grants_active gauge',
      'portcullis_access_grants_of_one_user gauge',
      'portcullis_access_grants_total counter',
      'portcullis_access_notices_total counter',
      'portcullis_access_requests_total counter',
      'portcullis_audit_blocked gauge',
      'portcullis_audit_events_total counter',
      'portcullis_audit_files_hold_seconds gauge',
      'portcullis_audit_queued_bytes gauge',
      'portcullis_audit_rejections_omitted_total counter',
      'portcullis_audit_sink_failing gauge',
      'portcullis_build_info gauge',
      'portcullis_certificate_expiry_seconds gauge',
      'portcullis_component_up gauge',
      'portcullis_cuts_total counter',
      'portcullis_delegated_requests_total counter',
      'portcullis_delegations_total counter',
      'portcullis_event_loop_longest_turn_seconds gauge',
      'portcullis_fenced gauge',
      'portcullis_key_age_seconds gauge',
      'portcullis_key_changes_total counter',
      'portcullis_key_files_refused gauge',
      'portcullis_key_lacking_replicas gauge',
      'portcullis_logouts_refused_total counter',
      'portcullis_provider_reachable gauge',
      'portcullis_provider_requests_total counter',
      'portcullis_refreshes_total counter',
      'portcullis_refusals_total counter',
      'portcullis_request_duration_seconds histogram',
      'portcullis_requests_total counter',
      'portcullis_revocation_duration_seconds histogram',
      'portcullis_revocations_total counter',
      'portcullis_sealed_with_old_key gauge',
      'portcullis_sensitive_requests_total counter',
      'portcullis_session_addresses_exceeded_total counter',
      'portcullis_sessions_active gauge',
      'portcullis_sign_ins_displaced_total counter',
      'portcullis_sign_ins_total counter',
      'portcullis_step_up_needed_total counter',
      'portcullis_step_ups_total counter',
      'portcullis_store_memory_ratio gauge',
      'portcullis_streams_open gauge',
      'portcullis_upstream_errors_total counter',
      'portcullis_view_staleness_seconds gauge',
    ]);
    const { body, contentType } = await metrics.render();
    expect(body).toContain('nodejs_eventloop_lag_seconds');
    expect(contentType).toContain('text/plain; version=0.0.4');
  });

  it('counts each thing under its labels', async () => {
    const metrics = createMetrics({ clusters: ['prod'], providers: ['corp'] });
    metrics.request({ cluster: 'prod', verb: 'list', code: 200, seconds: 0.02 });
    metrics.request({ cluster: 'none', verb: 'post', code: 404 });
    metrics.upstreamError('prod', 'timeout');
    metrics.signIn('corp', 'ok');
    metrics.signIn('unknown', 'refused');
    metrics.refresh('ok');
    metrics.rejection('session_revoked');
    metrics.cut('session_revoked');
    metrics.revocation('account', 0.007);
    metrics.auditEvent('file', 'written');
    metrics.auditEvent('file', 'written', 3);
    const expected = {
      'portcullis_requests_total{cluster="prod",verb="list",code="200"}': '1',
      'portcullis_requests_total{cluster="none",verb="post",code="404"}': '1',
      portcullis_request_duration_seconds_count: '1',
      'portcullis_request_duration_seconds_bucket{le="0.025"}': '1',
      'portcullis_upstream_errors_total{cluster="prod",kind="timeout"}': '1',
      'portcullis_sign_ins_total{provider="corp",outcome="ok"}': '1',
      'portcullis_sign_ins_total{provider="unknown",outcome="refused"}': '1',
      'portcullis_refreshes_total{outcome="ok"}': '1',
      'portcullis_refusals_total{reason="session_revoked"}': '1',
      'portcullis_cuts_total{reason="session_revoked"}': '1',
      'portcullis_revocations_total{target="account"}': '1',
      portcullis_revocation_duration_seconds_sum: '0.007',
      'portcullis_audit_events_total{sink="file",outcome="written"}': '4',
    };
    const actual = await Promise.all(
      Object.keys(expected).map(async (series) => [series, await valueOf(metrics, series)] as const),
    );
    expect(Object.fromEntries(actual)).toEqual(expected);
  });

  it('has access requests by configured role and receiver, from 0, and no gauge of a role that is gone', async () => {
    const metrics = createMetrics({ roles: ['shop-admins'], receivers: ['tickets'], clusters: ['prod'] });
    expect(await valueOf(metrics, 'portcullis_access_break_glass_total{role="shop-admins"}')).toBe('0');
    expect(await valueOf(metrics, 'portcullis_access_notices_total{receiver="tickets",outcome="dropped"}')).toBe('0');
    expect(await valueOf(metrics, 'portcullis_step_up_needed_total{cluster="prod"}')).toBe('0');
    metrics.accessRequest('gone', 'expired');
    metrics.accessGrant('shop-admins', 'begun');
    metrics.accessGrantsActive(new Map([['gone', 2]]));
    metrics.accessGrantsActive(new Map([['shop-admins', 1]]));
    metrics.roleUsage(new Map([['shop-admins', { grantsOfOneUser: 3, approvals: 12, approvers: 1 }]]));
    expect(await valueOf(metrics, 'portcullis_access_requests_total{role="other",outcome="expired"}')).toBe('1');
    expect(await valueOf(metrics, 'portcullis_access_grants_total{role="shop-admins",event="begun"}')).toBe('1');
    expect(await seriesOf(metrics, 'portcullis_access_grants_active')).toEqual([
      'portcullis_access_grants_active{role="shop-admins"} 1',
    ]);
    expect(await valueOf(metrics, 'portcullis_access_approvers_of_week{role="shop-admins"}')).toBe('1');
    expect(await valueOf(metrics, 'portcullis_access_grants_of_one_user{role="shop-admins"}')).toBe('3');
  });

  it('folds what no one configured and what Kubernetes does not know to other', async () => {
    const metrics = createMetrics({ clusters: ['prod'], providers: ['corp'] });
    metrics.request({ cluster: 'evil.example.com', verb: 'BREW', code: 799 });
    metrics.request({ cluster: 'prod', verb: 'constructor', code: Number.NaN });
    metrics.signIn('corp2', 'ok');
    metrics.streamOpened('teleport');
    expect(await seriesOf(metrics, 'portcullis_requests_total')).toEqual([
      'portcullis_requests_total{cluster="other",verb="other",code="other"} 1',
      'portcullis_requests_total{cluster="prod",verb="other",code="other"} 1',
    ]);
    expect(await valueOf(metrics, 'portcullis_sign_ins_total{provider="other",outcome="ok"}')).toBe('1');
    expect(await valueOf(metrics, 'portcullis_streams_open{kind="other"}')).toBe('1');
  });

  it('has the reasons that alerts count by their names, after however many others', async () => {
    const metrics = createMetrics();
    for (let index = 0; index < 200; index += 1) metrics.rejection(`reason-${index}`);
    metrics.rejection('certificate_mismatch');
    expect(await valueOf(metrics, 'portcullis_refusals_total{reason="certificate_mismatch"}')).toBe('1');
  });

  it('stays bounded where no list is known: a hundred names, and only what looks like one', async () => {
    const metrics = createMetrics();
    const before = await seriesOf(metrics, 'portcullis_refusals_total');
    metrics.rejection('alice@example.com');
    metrics.rejection('/api/v1/secrets/mine');
    metrics.rejection('x'.repeat(64));
    expect(await seriesOf(metrics, 'portcullis_refusals_total')).toEqual([
      ...before,
      'portcullis_refusals_total{reason="other"} 3',
    ]);
    for (let n = 0; n < 1000; n += 1) metrics.rejection(`reason_${n}`);
    const series = await seriesOf(metrics, 'portcullis_refusals_total');
    expect(series).toHaveLength(before.length + 101);
    expect(series).toContain('portcullis_refusals_total{reason="other"} 903');
  });

  it('counts open streams up and down, each close once', async () => {
    const metrics = createMetrics();
    expect(await valueOf(metrics, 'portcullis_streams_open{kind="watch"}')).toBe('0');
    const close = metrics.streamOpened('watch');
    metrics.streamOpened('watch');
    expect(await valueOf(metrics, 'portcullis_streams_open{kind="watch"}')).toBe('2');
    close();
    close();
    expect(await valueOf(metrics, 'portcullis_streams_open{kind="watch"}')).toBe('1');
  });

  it('reads gauges at each scrape', async () => {
    const metrics = createMetrics();
    const view = { stalenessSeconds: 0.25, fenced: false };
    metrics.observeSessions(async () => 7);
    metrics.observeView(() => view);
    expect(await valueOf(metrics, 'portcullis_sessions_active')).toBe('7');
    expect(await valueOf(metrics, 'portcullis_view_staleness_seconds')).toBe('0.25');
    expect(await valueOf(metrics, 'portcullis_fenced')).toBe('0');
    Object.assign(view, { stalenessSeconds: Infinity, fenced: true });
    expect(await valueOf(metrics, 'portcullis_view_staleness_seconds')).toBe('+Inf');
    expect(await valueOf(metrics, 'portcullis_fenced')).toBe('1');
  });

  it('leaves out a gauge that cannot be read, and has it again afterwards', async () => {
    const metrics = createMetrics();
    let away = false;
    metrics.observeSessions(async () => {
      if (away) throw new Error('the store is unavailable');
      return 3;
    });
    expect(await valueOf(metrics, 'portcullis_sessions_active')).toBe('3');
    away = true;
    expect(await valueOf(metrics, 'portcullis_sessions_active')).toBeUndefined();
    expect((await metrics.render()).body).toContain('portcullis_requests_total');
    away = false;
    expect(await valueOf(metrics, 'portcullis_sessions_active')).toBe('3');
  });

  it('writes OpenMetrics for who asks for it, with the request that fell into a bucket', async () => {
    const metrics = createMetrics({ clusters: ['prod'] });
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    metrics.request({ cluster: 'prod', verb: 'get', code: 200, seconds: 0.02, auditId: 'a-1', traceId });
    metrics.request({ cluster: 'prod', verb: 'get', code: 200, seconds: 2, auditId: 'a-2', traceId: '"} 1\nevil' });
    const { body, contentType } = await metrics.render('application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1');
    expect(contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(body).toMatch(/\n# EOF\n$/);
    expect(body).toContain('# TYPE portcullis_requests counter\n');
    expect(body).toContain('portcullis_requests_total{cluster="prod",verb="get",code="200"} 2\n');
    expect(body).toMatch(
      new RegExp(`_bucket\\{le="0.025"\\} 1 # \\{audit_id="a-1",trace_id="${traceId}"\\} 0.02 [0-9.]+\\n`),
    );
    expect(body).toMatch(/_bucket\{le="2.5"\} 2 # \{audit_id="a-2"\} 2 [0-9.]+\n/);
  });

  it('sets an exemplar ten times a second for each bucket, and counts every request', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    try {
      const metrics = createMetrics();
      const ended = (auditId: string, seconds: number): void =>
        metrics.request({ cluster: 'none', verb: 'get', code: 200, seconds, auditId });
      const shown = async (le: string): Promise<string | undefined> =>
        new RegExp(`_bucket\\{le="${le}"\\} (\\d+ # \\{audit_id="[a-z]+"\\})`).exec(
          (await metrics.render('application/openmetrics-text')).body,
        )?.[1];
      ended('first', 0.02);
      ended('second', 0.02);
      ended('slow', 2);
      expect([await shown('0.025'), await shown('2.5')]).toEqual(['2 # {audit_id="first"}', '3 # {audit_id="slow"}']);
      now.mockReturnValue(1100);
      ended('third', 0.02);
      expect(await shown('0.025')).toBe('3 # {audit_id="third"}');
    } finally {
      now.mockRestore();
    }
  });

  it.each([undefined, '', 'text/plain', 'application/openmetrics-text;q=0, text/plain'])(
    'writes the text format for %s, before and after OpenMetrics was asked for',
    async (accept) => {
      const metrics = createMetrics();
      metrics.request({ cluster: 'prod', verb: 'get', code: 200, seconds: 0.02, auditId: 'a-1' });
      const ownLines = async (): Promise<readonly string[]> =>
        (await metrics.render(accept)).body.split('\n').filter((line) => line.includes('portcullis_'));
      const before = await ownLines();
      await metrics.render('application/openmetrics-text');
      const { contentType } = await metrics.render(accept);
      expect(contentType).toContain('text/plain; version=0.0.4');
      expect(await ownLines()).toEqual(before);
      expect(before).toContain('# TYPE portcullis_requests_total counter');
      expect(before).toContain('portcullis_request_duration_seconds_bucket{le="0.025"} 1');
      expect(before.join('')).not.toContain('a-1');
    },
  );

  it('tells how long certificates last: in a bundle the longest, of several the first to end', async () => {
    const metrics = createMetrics();
    const now = Date.now();
    const one = await makeCertificates(['localhost'], now);
    const earlier = await makeCertificates(['localhost'], now - 3 * 86_400_000);
    let api = one.cert;
    metrics.observeCertificate('api', () => api);
    metrics.observeCertificate('upstream_ca', () => `${earlier.ca}\n${one.ca}`);
    const days = async (kind: string): Promise<number> =>
      Number(await valueOf(metrics, `portcullis_certificate_expiry_seconds{kind="${kind}"}`)) / 86_400;
    const whole = await days('api');
    expect(whole).toBeGreaterThan(1);
    expect(await days('upstream_ca')).toBeCloseTo(whole, 1);
    metrics.observeCertificate('upstream_ca', () => earlier.ca);
    expect(await days('upstream_ca')).toBeCloseTo(whole - 3, 1);
    api = earlier.cert;
    expect(await days('api')).toBeCloseTo(whole - 3, 1);
    api = 'no certificate';
    expect(await valueOf(metrics, 'portcullis_certificate_expiry_seconds{kind="api"}')).toBeUndefined();
    expect(await days('upstream_ca')).toBeCloseTo(whole - 3, 1);
  });

  it('tells of a chain the first certificate to end: what is behind the leaf lasts for years', async () => {
    const metrics = createMetrics();
    const now = Date.now();
    const lasting = await makeCertificates(['localhost'], now);
    const ending = await makeCertificates(['localhost'], now - 3 * 86_400_000);
    metrics.observeCertificate('upstream_ca', () => ending.ca);
    metrics.observeCertificate('api', () => `${ending.cert}${lasting.ca}`);
    metrics.observeCertificate('web', () => `${lasting.cert}${ending.ca}`);
    const left = async (kind: string): Promise<number> =>
      Number(await valueOf(metrics, `portcullis_certificate_expiry_seconds{kind="${kind}"}`));
    const soonest = await left('upstream_ca');
    expect(await left('api')).toBeCloseTo(soonest, -2);
    expect(await left('web')).toBeCloseTo(soonest, -2);
  });

  it('tells which changes of keys stand refused: those that came and went are only counted', async () => {
    const metrics = createMetrics();
    const refused = (): Promise<string[]> => seriesOf(metrics, 'portcullis_key_files_refused');
    expect(await refused()).toEqual([]);
    metrics.keysChanged('authorities', 'refused', 'redis.crt');
    metrics.keysChanged('authorities', 'refused', 'idp.crt');
    metrics.keysChanged('authorities', 'refused', 'idp.crt');
    metrics.keysChanged('authorities', 'taken', 'cluster.crt');
    expect(await refused()).toEqual(['portcullis_key_files_refused{kind="authorities"} 2']);
    metrics.keysChanged('authorities', 'taken', 'redis.crt');
    metrics.keysChanged('authorities', 'restored', 'idp.crt');
    expect(await refused()).toEqual(['portcullis_key_files_refused{kind="authorities"} 0']);
    expect((await seriesOf(metrics, 'portcullis_key_changes_total')).toSorted()).toEqual([
      'portcullis_key_changes_total{kind="authorities",outcome="refused"} 3',
      'portcullis_key_changes_total{kind="authorities",outcome="restored"} 1',
      'portcullis_key_changes_total{kind="authorities",outcome="taken"} 2',
    ]);
  });

  it('tells how old keys are, and of each provider whether it answered last, and how often', async () => {
    const metrics = createMetrics({ providers: ['corp'] });
    metrics.observeKey('signing', () => Date.now() / 1000 - 3600);
    expect(Number(await valueOf(metrics, 'portcullis_key_age_seconds{kind="signing"}'))).toBeCloseTo(3600, -1);
    expect(await seriesOf(metrics, 'portcullis_provider_reachable')).toEqual([]);
    // From 0 on, so that an alert sees the first failure too.
    expect(await seriesOf(metrics, 'portcullis_provider_requests_total')).toEqual([
      'portcullis_provider_requests_total{provider="corp",outcome="answered"} 0',
      'portcullis_provider_requests_total{provider="corp",outcome="unavailable"} 0',
    ]);
    metrics.providerAnswered('corp', true);
    metrics.providerAnswered('evil.example.com', true);
    metrics.providerAnswered('corp', false);
    expect(await seriesOf(metrics, 'portcullis_provider_reachable')).toEqual([
      'portcullis_provider_reachable{provider="corp"} 0',
      'portcullis_provider_reachable{provider="other"} 1',
    ]);
    expect(await seriesOf(metrics, 'portcullis_provider_requests_total')).toEqual([
      'portcullis_provider_requests_total{provider="corp",outcome="answered"} 1',
      'portcullis_provider_requests_total{provider="corp",outcome="unavailable"} 1',
      'portcullis_provider_requests_total{provider="other",outcome="answered"} 1',
    ]);
  });

  it('tells how clusters and providers were when an admin last had them looked at, by configured names only', async () => {
    const metrics = createMetrics({ clusters: ['prod'], providers: ['corp'] });
    expect(await seriesOf(metrics, 'portcullis_component_up')).toEqual([]);
    metrics.componentChecked('cluster', 'prod', true);
    metrics.componentChecked('provider', 'corp', true);
    metrics.componentChecked('provider', 'corp', false);
    metrics.componentChecked('provider', 'evil.example.com', true);
    expect((await seriesOf(metrics, 'portcullis_component_up')).toSorted()).toEqual([
      'portcullis_component_up{kind="cluster",name="prod"} 1',
      'portcullis_component_up{kind="provider",name="corp"} 0',
      'portcullis_component_up{kind="provider",name="other"} 1',
    ]);
  });

  it('tells what the audit log has waiting, where that is known', async () => {
    const metrics = createMetrics();
    const state = { blocked: false, queuedBytes: new Map([['file', 17]]) };
    metrics.observeAudit(() => state);
    expect(await valueOf(metrics, 'portcullis_audit_blocked')).toBe('0');
    Object.assign(state, { blocked: true });
    expect(await valueOf(metrics, 'portcullis_audit_blocked')).toBe('1');
    expect(await seriesOf(metrics, 'portcullis_audit_queued_bytes')).toEqual([
      'portcullis_audit_queued_bytes{sink="file"} 17',
    ]);
  });

  it('has what alerts count at 0 from the start, because Prometheus misses the first of a series that begins at 1', async () => {
    const metrics = createMetrics({ clusters: ['prod'], providers: ['corp'], sinks: ['file'] });
    const series = [
      'portcullis_refusals_total{reason="session_revoked"}',
      'portcullis_refusals_total{reason="certificate_mismatch"}',
      'portcullis_refusals_total{reason="impersonation_denied"}',
      'portcullis_sign_ins_total{provider="corp",outcome="refused"}',
      'portcullis_audit_events_total{sink="file",outcome="dropped"}',
      'portcullis_sensitive_requests_total{kind="exec"}',
      'portcullis_session_addresses_exceeded_total',
      'portcullis_upstream_errors_total{cluster="prod",kind="connect"}',
    ];
    for (const each of series) expect(await valueOf(metrics, each), each).toBe('0');
  });

  it('shares nothing with another set in the same process', async () => {
    const one = createMetrics();
    createMetrics().refresh('ok');
    expect(await valueOf(one, 'portcullis_refreshes_total{outcome="ok"}')).toBe('0');
  });
});
