/** Starts the gate of gate-process.ts and asks it how it is. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { TestUser, TestPlane } from '../../support/data-plane.ts';
import type { RecordingUpstream } from '../../support/upstream.ts';

/** As much of it as a client needs. */
export type Reachable = Pick<TestPlane, 'port' | 'ca'>;

export interface InstanceState {
  /** Resident bytes, garbage collected. */
  readonly rss: number;
  readonly inFlight: number;
}

export interface RemoteInstance {
  readonly plane: Reachable;
  readonly user: TestUser;
  state(): Promise<InstanceState>;
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL('./gate-process.ts', import.meta.url));

export async function startRemoteInstance(upstream: RecordingUpstream): Promise<RemoteInstance> {
  const child = fork(PROGRAM, [upstream.server, upstream.ca], { execArgv: [] });
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
