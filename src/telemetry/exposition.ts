/** Renders one registry in the two formats that a scrape may ask for. */
import { Registry } from 'prom-client';
import type { MetricsRegistry } from './instruments.ts';

/** One response to a scrape. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/**
 * Renders the registry as the scraper wants it: OpenMetrics, the only format with exemplars, if its `Accept` names
 * it; otherwise the older text format.
 * @param accept the header as received
 */
export async function expose(registry: MetricsRegistry, accept = ''): Promise<Exposition> {
  const openMetrics = await registry.metrics();
  if (wantsOpenMetrics(accept)) return { contentType: registry.contentType, body: openMetrics };
  return { contentType: Registry.PROMETHEUS_CONTENT_TYPE, body: textFormat(openMetrics) };
}

/** RFC 9110 §12.5.1, as far as it is needed: a quality of 0 excludes a type. */
function wantsOpenMetrics(accept: string): boolean {
  return accept
    .toLowerCase()
    .split(',')
    .map((range) => range.split(';').map((part) => part.trim()))
    .some(([type, ...parameters]) => type === 'application/openmetrics-text' && !parameters.some(isNone));
}

const isNone = (parameter: string): boolean => /^q=0(\.0*)?$/.test(parameter);

/** Only buckets have exemplars here, and no label of a bucket contains a brace. */
const EXEMPLAR = /^(\S+_bucket\{[^}]*\} \S+) # \{.*$/;

/**
 * Converts OpenMetrics to the text format. The opposite is impossible: prom-client renames each counter
 * permanently when it writes OpenMetrics. The formats differ in the counters' names in `HELP` and `TYPE`, the
 * exemplars and the end mark.
 */
function textFormat(openMetrics: string): string {
  const counters = new Set(
    [...openMetrics.matchAll(/^# TYPE (\S+) counter$/gm)].map(([, name]) => name).filter((name) => name !== undefined),
  );
  const lines = openMetrics.split('\n').flatMap((line) => {
    if (line === '# EOF' || line === '') return [];
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment === null) return [line.replace(EXEMPLAR, '$1')];
    const [, keyword, name = '', rest] = comment;
    return [counters.has(name) ? `# ${keyword} ${name}_total ${rest}` : line];
  });
  return `${lines.join('\n')}\n`;
}
