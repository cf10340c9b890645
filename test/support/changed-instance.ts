/** A server for tests with more in its configuration than the demo's: the same addresses, files and embedded cluster. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import type { KeyTiming } from '../../src/server/keys.ts';
import { startServer } from '../../src/server/serve.ts';
import { startTestInstance } from './instance.ts';

type Settings = Readonly<Record<string, unknown>>;

export interface InstanceChange {
  /**
   * Adds to the file's settings.
   * @param instance for its folder and addresses
   */
  readonly file: (settings: Settings, instance: RunningDemo) => Settings | Promise<Settings>;
  /** The environment beside the file. Absent: empty. */
  readonly env?: Readonly<Record<string, string>>;
  /** What no file may say: lives shorter than the schema allows, a vendor's issuer on loopback. */
  readonly loaded?: (config: Config) => Config;
  /** `redis://…`; the memory store when absent. */
  readonly redis?: string;
  /** How soon a new key is used. */
  readonly keyTiming?: KeyTiming;
}

export async function startChangedInstance({
  file,
  env = {},
  loaded = (config) => config,
  redis,
  keyTiming,
}: InstanceChange): Promise<RunningDemo> {
  const instance = await startTestInstance(redis === undefined ? {} : { redis });
  try {
    const settings = await file(parse(await readFile(instance.files.config, 'utf8')) as Settings, instance);
    const path = join(instance.files.directory, 'changed.yaml');
    await writeFile(path, stringify(settings, { lineWidth: 0 }));
    const result = await loadConfig({ file: path, env });
    if (!result.ok) throw new Error(JSON.stringify(result.reason));
    await instance.server.stop();
    const server = await startServer(loaded(result.value.config), undefined, keyTiming);
    await server.ready;
    const stop = async (): Promise<void> => {
      await server.stop();
      await instance.stop();
    };
    return { ...instance, server, stop };
  } catch (error) {
    await instance.stop();
    throw error;
  }
}
