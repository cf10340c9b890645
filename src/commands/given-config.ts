/** The configuration that a command is given: a file, or variables. */
import { formatErrors, loadConfig, type LoadedConfig, type LoadOptions } from '../config/load.ts';
import { defined } from '../core/defined.ts';

/** Exit status of wrong use or configuration (docs/reference/cli.md#exit-codes). */
export const MISCONFIGURED = 2;

export type Environment = Readonly<Record<string, string | undefined>>;

/** @returns nothing where it has errors, which are then on standard error, as its warnings are */
export async function loadGiven(
  file: string | undefined,
  env: Environment,
  options: Pick<LoadOptions, 'files'> = {},
): Promise<LoadedConfig | undefined> {
  const loaded = await readGiven(file, env, options);
  for (const { message } of loaded?.warnings ?? []) console.error(`warning: ${message}`);
  return loaded;
}

/** Does the same as `loadGiven`, and leaves the warnings to the caller. */
export async function readGiven(
  file: string | undefined,
  env: Environment,
  options: Pick<LoadOptions, 'files'> = {},
): Promise<LoadedConfig | undefined> {
  const loaded = await loadConfig({ ...defined({ file }), env, ...options });
  if (loaded.ok) return loaded.value;
  console.error(formatErrors(loaded.reason));
  return undefined;
}
