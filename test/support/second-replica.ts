/** Another replica of a gate: the same configuration on ports of its own, as a second pod behind one load balancer. */
import { loadConfig } from '../../src/config/load.ts';
import type { RunningDemo } from '../../src/demo/launch.ts';
import { startServer, type RunningServer } from '../../src/serve.ts';

export async function startSecondReplica(gate: RunningDemo): Promise<RunningServer> {
  const loaded = await loadConfig({ file: gate.files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const anyPort = { host: '127.0.0.1', port: 0 };
  const { api, web, ops } = config.listen;
  return startServer({
    ...config,
    listen: { api: { ...api, address: anyPort }, web: { ...web, address: anyPort }, ops: { ...ops, address: anyPort } },
  });
}
