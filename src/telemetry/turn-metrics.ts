/**
 * The longest turn of the event loop. No request is served during a turn, and no lease renewed: an attacker who finds work
 * that is done in one turn of two seconds fences the replica and cuts the streams of all users.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { observed, type MetricsRegistry } from './instruments.ts';

/** Milliseconds between two looks at the clock, which Node counts into each delay. */
const RESOLUTION = 20;
/** A turn stays visible for so long, so that each of several scrapers sees it, and one that failed sees it next time. */
const WINDOW_MS = 60_000;

interface TurnMonitor {
  /** Of the delays since `reset`, the longest; nanoseconds. */
  readonly max: number;
  reset(): void;
}

/** @param nowMs of a clock that is never set, milliseconds */
export function turnMetrics(
  registry: MetricsRegistry,
  monitor: TurnMonitor = started(),
  nowMs: () => number = () => performance.now(),
): void {
  const help =
    'The longest time within the last one to two minutes (and since the last scrape) in which this replica did nothing else, because one piece of work, the garbage collector or the lack of a CPU held its event loop.';
  let window = { since: nowMs(), before: 0, longest: 0 };
  observed(registry, 'event_loop_longest_turn_seconds', help, () => {
    const latest = Math.max(0, monitor.max / 1e6 - RESOLUTION);
    monitor.reset();
    if (nowMs() - window.since >= WINDOW_MS) window = { since: nowMs(), before: window.longest, longest: 0 };
    window.longest = Math.max(window.longest, latest);
    return Math.max(window.before, window.longest) / 1000;
  });
}

function started(): TurnMonitor {
  const monitor = monitorEventLoopDelay({ resolution: RESOLUTION });
  monitor.enable();
  return monitor;
}
