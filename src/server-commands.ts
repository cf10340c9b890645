/** The commands that run where the server runs: `serve`, `config check`, `keys generate`. */
import { join } from 'node:path';
import { generateKeys } from './config/keys.ts';
import { formatFaults, loadConfig, type LoadedConfig } from './config/load.ts';
import { startServer } from './serve.ts';

/** Wrong use or configuration (CONTRACT, exit codes). */
const MISCONFIGURED = 2;
const FAILED = 1;

export type Environment = Readonly<Record<string, string | undefined>>;

async function load(file: string | undefined, env: Environment): Promise<LoadedConfig | undefined> {
  const loaded = await loadConfig({ ...(file === undefined ? {} : { file }), env });
  if (!loaded.ok) {
    console.error(formatFaults(loaded.reason));
    return undefined;
  }
  for (const warning of loaded.value.warnings) console.error(`warning: ${warning}`);
  return loaded.value;
}

/** Runs until SIGTERM or SIGINT, then drains. @returns exit status */
export async function serve(file: string | undefined, env: Environment): Promise<number> {
  const loaded = await load(file, env);
  if (loaded === undefined) return MISCONFIGURED;
  const server = await startServer(loaded.config).catch((error: unknown) => {
    console.error(`portcullis cannot start: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  });
  if (server === undefined) return FAILED;
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await server.stop();
  return 0;
}

/** @returns exit status: 0, or 2 with every fault on standard error */
export async function checkConfig(file: string | undefined, env: Environment): Promise<number> {
  const loaded = await load(file, env);
  if (loaded === undefined) return MISCONFIGURED;
  const { config } = loaded;
  console.log(
    `good: ${config.providers.length} provider(s), ${config.clusters.length} cluster(s), store ${config.store.kind}`,
  );
  return 0;
}

/**
 * Makes `DIR/signing` and `DIR/sealing` with one key each.
 * @returns exit status: 0, or 1 where keys are there already
 */
export async function generate(dir: string): Promise<number> {
  const directories = { signingDir: join(dir, 'signing'), sealingDir: join(dir, 'sealing') };
  try {
    await generateKeys(directories);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
  console.log(`made a signing key in ${directories.signingDir} and a sealing key in ${directories.sealingDir}`);
  return 0;
}
