/** Three replicas on a real Redis: the one with the pages, another one, and one in its own process that can be stopped as a host can. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RunningDemo } from '../../demo/launch.ts';
import type { ReplicaSetup } from '../chaos/protocol.ts';
import { startTestInstance } from './instance.ts';
import { startRedis } from './redis.ts';

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
  const instance = await startTestInstance({
    redis: redis.url,
    file: (settings) => ({ ...settings, revocation: { staleness: `${STALENESS}s` } }),
    name: 'one',
  });
  await instance.replica({ name: 'two' });
  const three = await startThird(redis.url);
  return {
    instance,
    stopThird: () => void three.kill('SIGSTOP'),
    async close() {
      const gone = once(three, 'exit');
      three.kill('SIGKILL');
      await gone;
      await instance.stop();
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
