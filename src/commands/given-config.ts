/** The configuration that a command is given: a file, or variables. */
import { formatErrors, loadConfig, type LoadedConfig } from '../config/load.ts';

/** Exit status of wrong use or configuration (docs/reference/cli.md#exit-codes). */
export const MISCONFIGURED = 2;

export type Environment = Readonly<Record<string, string | undefined>>;

/** @returns nothing where it has errors, which are then on standard error, as its warnings are */
export async function loadGiven(file: string | undefined, env: Environment): Promise<LoadedConfig | undefined> {
  const loaded = await loadConfig({ ...(file === undefined ? {} : { file }), env });
  if (!loaded.ok) {
    console.error(formatErrors(loaded.reason));
    return undefined;
  }
  for (const warning of loaded.value.warnings) console.error(`warning: ${warning}`);
  return loaded.value;
}
