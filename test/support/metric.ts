/** One number of a running replica, as a scrape sees it. */
import type { RunningServer } from '../../src/server/serve.ts';

/** @param series name and labels, as they are written */
export async function metric(
  { ports }: { readonly ports: Pick<RunningServer['ports'], 'ops'> },
  series: string,
): Promise<string | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${ports.ops}/metrics`)).text();
  return text
    .split('\n')
    .find((line) => line.startsWith(series))
    ?.split(' ')[1];
}
