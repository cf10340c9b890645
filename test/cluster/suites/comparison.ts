/** What of a suite passes straight at an API server and through two replicas, and what of the difference has a reason. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** By what the suite calls it: whether it passed. */
export type Outcome = ReadonlyMap<string, boolean>;

const exceptionSchema = z.strictObject({
  suite: z.enum(['test-cmd', 'e2e']),
  name: z.string(),
  /** `directly`: it passes straight at an API server, and cannot through the proxy; `neither`: this machine or cluster lacks what it needs. */
  passes: z.enum(['directly', 'neither']),
  reason: z.string(),
});
/** Something that is not expected to pass both ways. */
export type Exception = z.infer<typeof exceptionSchema>;
export type Suite = Exception['suite'];

/** `through` alone: a test that depends on time or on what ran before. */
export type Passes = 'both' | 'neither' | 'directly' | 'through';

/** @throws Error where the file has anything else */
export async function exceptionsOf(suite: Suite): Promise<readonly Exception[]> {
  const file = fileURLToPath(new URL('exceptions.json', import.meta.url));
  const all = z.array(exceptionSchema).parse(JSON.parse(await readFile(file, 'utf8')));
  return all.filter((each) => each.suite === suite);
}

/**
 * What ran one way only has failed the other way: a run that ended early must not look like one that passed.
 * @param outcomes straight at the API server, then through the proxy
 */
export function compare([direct, through]: readonly Outcome[]): ReadonlyMap<string, Passes> {
  const names = [...new Set([...(direct?.keys() ?? []), ...(through?.keys() ?? [])])].toSorted();
  return new Map(
    names.map((name) => {
      const [directly, too] = [direct?.get(name) === true, through?.get(name) === true];
      if (directly) return [name, too ? 'both' : 'directly'];
      return [name, too ? 'through' : 'neither'];
    }),
  );
}

/** @returns what the proxy breaks, and the exceptions that are none: each has to go from the list */
export function judge(
  compared: ReadonlyMap<string, Passes>,
  exceptions: readonly Exception[],
): { readonly broken: readonly string[]; readonly unused: readonly string[] } {
  const allowed = new Set(exceptions.filter(({ passes }) => passes === 'directly').map(({ name }) => name));
  const broken = [...compared].filter(([name, passes]) => passes === 'directly' && !allowed.has(name));
  const unused = [...allowed].filter((name) => (compared.get(name) ?? 'directly') !== 'directly');
  return { broken: broken.map(([name]) => name), unused };
}
