/** pods/log: what a container said, and with `follow` what it goes on to say. */
import { stringAt } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest } from '../objects/status.ts';
import type { ClusterParts, ResourceCall } from '../handlers/call.ts';
import { existing } from '../handlers/read.ts';
import { PODS } from '../resources.ts';
import { containerOf } from './containers.ts';
import { followLog, logLines } from './log-source.ts';
import type { LogLine } from './log-source.ts';

interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number;
  readonly limitBytes: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

const isTrue = (value: string | null): boolean => value !== null && value !== '0' && value.toLowerCase() !== 'false';

function count(query: URLSearchParams, key: string, otherwise: number): number {
  const text = query.get(key);
  if (text === null) return otherwise;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid ${key}: must be a number that is not negative`);
  return Number(text);
}

function optionsOf(query: URLSearchParams, now: Date): LogOptions {
  const seconds = count(query, 'sinceSeconds', Number.POSITIVE_INFINITY);
  return {
    follow: isTrue(query.get('follow')),
    timestamps: isTrue(query.get('timestamps')),
    tailLines: count(query, 'tailLines', Number.POSITIVE_INFINITY),
    limitBytes: count(query, 'limitBytes', Number.POSITIVE_INFINITY),
    since: Math.max(now.getTime() - seconds * 1000, Date.parse(query.get('sinceTime') ?? '') || 0),
  };
}

const shown = (line: LogLine, options: LogOptions): string =>
  `${options.timestamps ? `${line.at.toISOString()} ` : ''}${line.text}\n`;

export function logs(parts: ClusterParts, call: ResourceCall): void {
  const pod = existing(parts, call);
  const container = stringAt(containerOf(pod, call.info.query.get('container') ?? ''), 'name');
  const options = optionsOf(call.info.query, parts.now());
  if (isTrue(call.info.query.get('previous'))) {
    throw badRequest(`previous terminated container "${container}" in pod "${pod.metadata.name}" not found`);
  }
  const { first, lines } = logLines(pod, container, parts.now());
  const recent = lines.filter((line) => line.at.getTime() >= options.since);
  const text = (options.tailLines === 0 ? [] : recent.slice(-options.tailLines))
    .map((line) => shown(line, options))
    .join('');
  const { response } = call;
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  response.write(Buffer.from(text).subarray(0, options.limitBytes));
  if (!options.follow) {
    response.end();
    return;
  }
  follow(parts, call, { pod, container, options, next: first + lines.length });
}

/** Until the caller goes or the pod is deleted. */
function follow(
  parts: ClusterParts,
  call: ResourceCall,
  from: { pod: KubeObject; container: string; options: LogOptions; next: number },
): void {
  const { response } = call;
  const stopLines = followLog(from.pod, from.container, { next: from.next, now: parts.now }, (line) => {
    response.write(shown(line, from.options));
  });
  const stopWatch = parts.storage.subscribe(PODS, Number(parts.storage.resourceVersion), (change) => {
    if (change.type === 'DELETED' && change.object.metadata.uid === from.pod.metadata.uid) response.end();
  });
  response.once('close', () => {
    stopLines();
    stopWatch();
  });
}
