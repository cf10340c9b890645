/** The kinds of instruments, each with the prefix of all metric names. */
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

/**
 * A gauge that is read at each scrape. A value that cannot be read is absent: neither stale nor zero, and the
 * scrape succeeds.
 */
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

/** Like `observed`, with a value for each value of its label. Those that `read` omits are absent. */
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
