/** Another replica of a server: the same configuration on its own ports, as a second pod behind one load balancer. */
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import type { KeyTiming } from '../../src/server/keys.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';

/**
 * @param shutdown times other than the demo's, which lets go immediately
 * @param change what else is different at this one
 */
export async function startSecondReplica(
  instance: RunningDemo,
  shutdown?: Config['shutdown'],
  change: { readonly loaded?: (config: Config) => Config; readonly keyTiming?: KeyTiming } = {},
): Promise<RunningServer> {
  const loaded = await loadConfig({ file: instance.files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const anyPort = { host: '127.0.0.1', port: 0 };
  const { api, web, ops } = config.listen;
  const changed = {
    ...config,
    listen: {
      ...config.listen,
      api: { ...api, address: anyPort },
      web: { ...web, address: anyPort },
      ops: { ...ops, address: anyPort },
    },
    shutdown: shutdown ?? config.shutdown,
  };
  return startServer(change.loaded?.(changed) ?? changed, undefined, change.keyTiming);
}
