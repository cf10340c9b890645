/** Three replicas on a real Redis: the one with the pages, another one, and one in its own process that can be stopped as a host can. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../src/config/load.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer } from '../../src/server/serve.ts';
import type { ReplicaSetup } from '../chaos/protocol.ts';
import { startTestInstance } from './instance.ts';
import { startRedis } from './redis.ts';
import { startFurtherReplica } from './further-replica.ts';

const REPLICA = fileURLToPath(new URL('../chaos/replica.ts', import.meta.url));
/** Seconds. Long enough to be looked at while it has not run out yet. */
const STALENESS = 8;

export interface ThreeReplicas {
  readonly instance: RunningDemo;
  /** SIGSTOP for the third. */
  stopThird(): void;
  close(): Promise<void>;
}

/** @returns replicas `one` with the pages, `two` and `three` */
export async function startThreeReplicas(): Promise<ThreeReplicas> {
  const redis = await startRedis();
  const first = await startTestInstance({ redis: redis.url });
  await appendFile(first.files.config, `revocation: { staleness: ${STALENESS}s }\n`);
  const loaded = await loadConfig({ file: first.files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  await first.server.stop();
  const server = await startServer(loaded.value.config, 'one');
  await server.ready;
  const instance = { ...first, server };
  const two = await startFurtherReplica(instance, 'two');
  const three = await startThird(redis.url);
  return {
    instance,
    stopThird: () => void three.kill('SIGSTOP'),
    async close() {
      const gone = once(three, 'exit');
      three.kill('SIGKILL');
      await gone;
      await two.stop();
      await server.stop();
      await first.stop();
      await redis.stop();
    },
  };
}

async function startThird(url: string) {
  const setup: ReplicaSetup = {
    name: 'three',
    redis: { url, nodes: 1, prefix: 'portcullis-demo' },
    // Of the log it needs nothing that is sealed.
    sealingKey: '0'.repeat(64),
    stalenessSeconds: STALENESS,
  };
  const child = spawn(process.execPath, [REPLICA, JSON.stringify(setup)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return child;
}
