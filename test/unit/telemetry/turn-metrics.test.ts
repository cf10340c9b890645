import { setTimeout as pause } from 'node:timers/promises';
import { Registry, type OpenMetricsContentType } from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { MetricsRegistry } from '../../../src/telemetry/instruments.ts';
import { createMetrics } from '../../../src/telemetry/telemetry.ts';
import { turnMetrics } from '../../../src/telemetry/turn-metrics.ts';

describe('the longest turn of the event loop', () => {
  it('shows the longest turn to each of several scrapers for a minute at least, and then no more', async () => {
    const registry: MetricsRegistry = new Registry<OpenMetricsContentType>();
    registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    const monitor = { max: 1_520_000_000, reset: () => Object.assign(monitor, { max: 0 }) };
    let now = 0;
    turnMetrics(registry, monitor, () => now);
    const scraped = async (): Promise<number> => Number(/^portcullis_\S+ (\S+)$/m.exec(await registry.metrics())?.[1]);
    for (now of [1000, 2000, 61_000, 62_000]) expect(await scraped(), `after ${now} ms`).toBe(1.5);
    now = 122_000;
    expect(await scraped()).toBe(0);
  });

  it('sees a turn of this process itself', async () => {
    const metrics = createMetrics();
    await pause(60);
    const end = performance.now() + 200;
    while (performance.now() < end);
    await pause(30);
    expect(
      Number(/^portcullis_event_loop_longest_turn_seconds (\S+)$/m.exec((await metrics.render()).body)?.[1]),
    ).toBeGreaterThan(0.15);
  });
});
