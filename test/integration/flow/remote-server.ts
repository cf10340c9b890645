/** Starts the server of server-process.ts and reads its state. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { TestUser, TestPlane } from '../../support/data-plane.ts';
import type { RecordingUpstream } from '../../support/upstream.ts';

/** The part of it that a client needs. */
export type Reachable = Pick<TestPlane, 'port' | 'ca'>;

export interface InstanceState {
  /** Resident bytes, after a garbage collection. */
  readonly rss: number;
  readonly inFlight: number;
  /** Names of the warnings of Node. */
  readonly warnings: readonly string[];
}

export interface RemoteInstance {
  readonly plane: Reachable;
  readonly user: TestUser;
  state(): Promise<InstanceState>;
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL('./server-process.ts', import.meta.url));

export async function startRemoteInstance(upstream: RecordingUpstream): Promise<RemoteInstance> {
  // The young generation would keep up to 48 MB that it once took, whether or not anything is left in it.
  const child = fork(PROGRAM, [upstream.server, upstream.ca], { execArgv: ['--max-semi-space-size=1'] });
  const [started] = (await once(child, 'message')) as [Reachable & { readonly user: TestUser }];
  return {
    plane: started,
    user: started.user,
    state: async () => {
      const answer = once(child, 'message');
      child.send('state');
      const [state] = (await answer) as [InstanceState];
      return state;
    },
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}
