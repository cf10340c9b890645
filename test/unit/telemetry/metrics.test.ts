import { describe, expect, it } from 'vitest';
import { createMetrics, type Metrics } from '../../../src/telemetry/telemetry.ts';

/** The value of one series, as a scrape sees it. */
async function valueOf(metrics: Metrics, series: string): Promise<string | undefined> {
  const line = (await metrics.render()).split('\n').find((text) => text.startsWith(`${series} `));
  return line?.slice(series.length + 1);
}

const seriesOf = async (metrics: Metrics, name: string): Promise<string[]> =>
  (await metrics.render()).split('\n').filter((line) => line.startsWith(`${name}{`));

describe('createMetrics', () => {
  it('has every metric of the reference by name and type, and those of Node', async () => {
    const metrics = createMetrics();
    metrics.observeSessions(() => 1);
    metrics.observeView(() => ({ stalenessSeconds: 0, fenced: false }));
    const types = (await metrics.render())
      .match(/^# TYPE portcullis_.*$/gm)
      ?.map((line) => line.slice('# TYPE '.length));
    expect(types?.toSorted()).toEqual([
      'portcullis_audit_events_total counter',
      'portcullis_fenced gauge',
      'portcullis_refreshes_total counter',
      'portcullis_refusals_total counter',
      'portcullis_request_duration_seconds histogram',
      'portcullis_requests_total counter',
      'portcullis_revocation_duration_seconds histogram',
      'portcullis_revocations_total counter',
      'portcullis_sessions_active gauge',
      'portcullis_sign_ins_total counter',
      'portcullis_streams_open gauge',
      'portcullis_upstream_errors_total counter',
      'portcullis_view_staleness_seconds gauge',
    ]);
    expect(await metrics.render()).toContain('nodejs_eventloop_lag_seconds');
    expect(metrics.contentType).toContain('text/plain; version=0.0.4');
  });

  it('counts each thing under its labels', async () => {
    const metrics = createMetrics({ clusters: ['prod'], providers: ['corp'] });
    metrics.request({ cluster: 'prod', verb: 'list', code: 200, seconds: 0.02 });
    metrics.request({ cluster: 'none', verb: 'post', code: 404 });
    metrics.upstreamError('prod', 'timeout');
    metrics.signIn('corp', 'ok');
    metrics.signIn('unknown', 'refused');
    metrics.refresh('ok');
    metrics.refusal('session_revoked');
    metrics.revocation('account', 0.007);
    metrics.auditEvent('file', 'written');
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
      'portcullis_revocations_total{target="account"}': '1',
      portcullis_revocation_duration_seconds_sum: '0.007',
      'portcullis_audit_events_total{sink="file",outcome="written"}': '1',
    };
    const actual = await Promise.all(
      Object.keys(expected).map(async (series) => [series, await valueOf(metrics, series)] as const),
    );
    expect(Object.fromEntries(actual)).toEqual(expected);
  });

  it('folds what nobody configured and what Kubernetes does not know to other', async () => {
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

  it('stays bounded where no list is known: a hundred names, and only what looks like one', async () => {
    const metrics = createMetrics();
    metrics.refusal('alice@example.com');
    metrics.refusal('/api/v1/secrets/mine');
    metrics.refusal('x'.repeat(64));
    expect(await seriesOf(metrics, 'portcullis_refusals_total')).toEqual([
      'portcullis_refusals_total{reason="other"} 3',
    ]);
    for (let n = 0; n < 1000; n += 1) metrics.refusal(`reason_${n}`);
    const series = await seriesOf(metrics, 'portcullis_refusals_total');
    expect(series).toHaveLength(101);
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
      if (away) throw new Error('the store is away');
      return 3;
    });
    expect(await valueOf(metrics, 'portcullis_sessions_active')).toBe('3');
    away = true;
    expect(await valueOf(metrics, 'portcullis_sessions_active')).toBeUndefined();
    expect(await metrics.render()).toContain('portcullis_requests_total');
    away = false;
    expect(await valueOf(metrics, 'portcullis_sessions_active')).toBe('3');
  });

  it('shares nothing with another set in the same process', async () => {
    const one = createMetrics();
    createMetrics().refresh('ok');
    expect(await seriesOf(one, 'portcullis_refreshes_total')).toEqual([]);
  });
});
