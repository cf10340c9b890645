/** The setup of every test of the command line: a fake server, a machine of a user, and the rule that messages for users have no secret. */
import { afterEach, beforeEach } from 'vitest';
import { FakeServer } from './fake-server.ts';
import { Machine, type Ended } from './machine.ts';

export interface Stage {
  readonly fakeServer: FakeServer;
  readonly machine: Machine;
  getToken(cluster?: string, ...more: readonly string[]): Promise<Ended>;
  /** Signs in, or throws. */
  login(): Promise<void>;
}

/** Sets up again before each test of the file; the result's members are of the test that runs. */
export function stage(): Stage {
  let fakeServer = new FakeServer();
  let machine = new Machine();
  machine.remove();
  beforeEach(async () => {
    fakeServer = new FakeServer();
    machine = new Machine();
    await fakeServer.start();
  });
  afterEach(async () => {
    machine.remove();
    await fakeServer.stop();
    machine.checkOutput(fakeServer.secrets);
  });
  return {
    get fakeServer() {
      return fakeServer;
    },
    get machine() {
      return machine;
    },
    getToken: (cluster = 'prod', ...more) =>
      machine.run('get-token', '--server', fakeServer.web, '--cluster', cluster, ...more),
    login: () => machine.signIn(fakeServer.web),
  };
}
