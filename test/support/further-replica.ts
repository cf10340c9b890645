/** A further replica of a server under its own name, and with its own connection to the store. */
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';

/**
 * @param redis where it finds the server's Redis; absent: where the server does
 * @param change what else is different at this one
 */
export async function startFurtherReplica(
  instance: RunningDemo,
  name: string,
  redis?: string,
  change: (config: Config) => Partial<Config> = () => ({}),
): Promise<RunningServer> {
  const loaded = await loadConfig({ file: instance.files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const { api, web, ops } = config.listen;
  const anyPort = { address: { host: '127.0.0.1', port: 0 } };
  const { store } = config;
  const replica = await startServer(
    {
      ...config,
      listen: {
        ...config.listen,
        api: { ...api, ...anyPort },
        web: { ...web, ...anyPort },
        ops: { ...ops, ...anyPort },
      },
      // What is cut off on purpose need not say so.
      telemetry: { ...config.telemetry, logLevel: 'error' },
      store: redis === undefined || store.kind === 'memory' ? store : { ...store, url: redis },
      ...change(config),
    },
    name,
  );
  await replica.ready;
  return replica;
}
