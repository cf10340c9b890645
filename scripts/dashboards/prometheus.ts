/** What Prometheus answers to the queries of a dashboard, in the form that it is drawn from. */
import { filledIn, type Dashboard, type Panel } from '../../test/support/deployed.ts';

export interface Range {
  /** Seconds since the epoch. */
  readonly start: number;
  readonly end: number;
  readonly step: number;
  readonly rateInterval: string;
}

export interface Series {
  readonly name: string;
  /** One for each time; null where there is none. */
  readonly values: readonly (number | null)[];
}

export interface PanelAnswers {
  readonly times: readonly number[];
  readonly series: readonly Series[];
}

interface Matrix {
  readonly status: string;
  readonly error?: string;
  readonly data: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>;
      readonly values: readonly (readonly [number, string])[];
    }[];
  };
}

const nameOf = (legend: string, labels: Readonly<Record<string, string>>): string =>
  legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '');

const numberOf = (text: string | undefined): number | null =>
  Number.isFinite(Number(text ?? NaN)) ? Number(text) : null;

async function panelAnswers(url: string, panel: Panel, range: Range): Promise<PanelAnswers> {
  const times = Array.from(
    { length: Math.floor((range.end - range.start) / range.step) + 1 },
    (_, index) => range.start + index * range.step,
  );
  const series: Series[] = [];
  for (const { expr, legendFormat } of panel.targets) {
    const query = new URLSearchParams({
      query: filledIn(expr, range.rateInterval),
      start: String(range.start),
      end: String(range.end),
      step: String(range.step),
    });
    const { status, error, data } = (await (
      await fetch(`${url}/api/v1/query_range?${query.toString()}`)
    ).json()) as Matrix;
    if (status !== 'success') throw new Error(`${panel.title}: ${error}`);
    for (const { metric, values } of data.result) {
      const byTime = new Map(values.map(([time, value]) => [Math.round((time - range.start) / range.step), value]));
      series.push({ name: nameOf(legendFormat, metric), values: times.map((_, index) => numberOf(byTime.get(index))) });
    }
  }
  return { times, series };
}

/**
 * Asks everything that a dashboard shows.
 * @throws Error where Prometheus rejects a query
 */
export const answersOf = (url: string, { panels }: Dashboard, range: Range): Promise<readonly PanelAnswers[]> =>
  Promise.all(panels.map((panel) => panelAnswers(url, panel, range)));
