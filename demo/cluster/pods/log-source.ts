/** A container's output so far. It follows from the time alone, so nothing runs while no client reads it. */
import type { KubeObject } from '../objects/kube-object.ts';

export interface LogLine {
  readonly at: Date;
  readonly text: string;
}

/** Lines that are kept; older ones are gone, as after a rotation. */
const KEPT = 1000;

const OPENING = ['starting', 'configuration read', 'listening on :8080'];

/** Opening lines at the start, then one each second. */
export function logLines(pod: KubeObject, container: string, now: Date): { first: number; lines: LogLine[] } {
  const started = Date.parse(pod.metadata.creationTimestamp ?? '') || now.getTime();
  const count = OPENING.length + Math.max(0, Math.floor((now.getTime() - started) / 1000));
  const first = Math.max(0, count - KEPT);
  const lines = Array.from({ length: count - first }, (_, offset): LogLine => {
    const index = first + offset;
    const second = Math.max(0, index - OPENING.length + 1);
    const said = OPENING[index] ?? `request ${second}: GET / 200`;
    return { at: new Date(started + second * 1000), text: `${container}: ${said}` };
  });
  return { first, lines };
}

/**
 * Calls `listener` for each line that comes from now on.
 * @returns stops it
 */
export function followLog(
  pod: KubeObject,
  container: string,
  from: { readonly next: number; readonly now: () => Date },
  listener: (line: LogLine) => void,
): () => void {
  let { next } = from;
  const timer = setInterval(() => {
    const { first, lines } = logLines(pod, container, from.now());
    for (const line of lines.slice(Math.max(0, next - first))) listener(line);
    next = first + lines.length;
  }, 1000);
  return () => clearInterval(timer);
}
