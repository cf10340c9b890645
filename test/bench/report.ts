/** What a benchmark hands in, and how it is shown. */

export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  /** null: not measured, and `load` has the reason. */
  readonly portcullis: number | null;
  /** `direct` is the upstream without a proxy; for CPU the upstream's own, since there is nothing between. */
  readonly peers: Readonly<Record<string, number>>;
  /** What the goal is about, where it is a ratio. */
  readonly ratio: number | null;
  readonly goal: string;
  readonly ok: boolean | null;
  /** What was done, so that another engineer can repeat it. */
  readonly load: string;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Median of a/b pair by pair: what slows both in one round leaves it alone. */
export const pairedRatio = (a: readonly number[], b: readonly number[]): number =>
  median(a.map((value, index) => value / (b[index] ?? Number.NaN)));

export const mapValues = <T, U>(values: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));

/** Growth of y for each x, by least squares; NaN for fewer than two points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [x0, y0] = [mean(0), mean(1)];
  const spread = points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
  return points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0) / spread;
}

const shown = (value: number | null): string =>
  value === null ? '-' : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

const verdict = (ok: boolean | null): string => (ok === null ? '-' : ok ? 'met' : 'MISSED');

export function table(results: readonly BenchResult[]): string {
  const others = ['before', 'peer'].filter((name) => results.some(({ peers }) => peers[name] !== undefined));
  const columns = ['direct', 'haproxy', ...others];
  const head = ['figure', 'unit', 'portcullis', ...columns, 'ratio', 'goal', ''];
  const rows = results.map(({ name, unit, portcullis, peers, ratio, goal, ok }) => [
    name,
    unit,
    shown(portcullis),
    ...columns.map((column) => shown(peers[column] ?? null)),
    shown(ratio),
    goal,
    verdict(ok),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  const loads = results.map(({ name, load }) => `  ${name}: ${load}`);
  return [line(head), ...rows.map(line), '', 'Load:', ...loads].join('\n');
}
