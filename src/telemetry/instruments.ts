/** The kinds of instrument that the metrics are made of, each under the prefix that all names have. */
import { Counter, Gauge, type OpenMetricsContentType, type Registry } from 'prom-client';

export type MetricsRegistry = Registry<OpenMetricsContentType>;

/** A count that only grows. */
export function counter<L extends string>(
  registry: MetricsRegistry,
  name: string,
  help: string,
  labelNames: readonly L[],
): Counter<L> {
  return new Counter({ name: `portcullis_${name}`, help, labelNames, registers: [registry] });
}

export function gauge<L extends string>(
  registry: MetricsRegistry,
  name: string,
  help: string,
  labelNames: readonly L[],
): Gauge<L> {
  return new Gauge({ name: `portcullis_${name}`, help, labelNames, registers: [registry] });
}

/** A gauge that is read when it is asked for. What cannot be read is absent: neither stale nor zero, and it fails no scrape. */
export function observed(
  registry: MetricsRegistry,
  name: string,
  help: string,
  read: () => number | Promise<number>,
): void {
  const measured = new Gauge({
    name: `portcullis_${name}`,
    help,
    registers: [registry],
    async collect() {
      try {
        measured.set(await read());
      } catch {
        measured.remove();
      }
    },
  });
}

/** As `observed`, with a value for each name of its label. What `read` leaves out is absent. */
export function observedByLabel(
  registry: MetricsRegistry,
  name: string,
  about: { readonly help: string; readonly label: string },
  read: () => ReadonlyMap<string, number>,
): void {
  const { help, label } = about;
  const measured = new Gauge({
    name: `portcullis_${name}`,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      measured.reset();
      for (const [value, measure] of read()) measured.set({ [label]: value }, measure);
    },
  });
}
