/** What every test of the command line stands on: a broker, a laptop, and the rule that words for people hold no secret. */
import { afterEach, beforeEach } from 'vitest';
import { Broker } from './fake-server.ts';
import { Machine, type Ended } from './machine.ts';

export interface Stage {
  readonly broker: Broker;
  readonly machine: Machine;
  getToken(cluster?: string, ...more: readonly string[]): Promise<Ended>;
  /** Signs in, or throws. */
  login(): Promise<void>;
}

/** Sets up anew before each test of the file; the result's members are of the test that runs. */
export function stage(): Stage {
  let broker = new Broker();
  let machine = new Machine();
  machine.remove();
  beforeEach(async () => {
    broker = new Broker();
    machine = new Machine();
    await broker.start();
  });
  afterEach(async () => {
    machine.remove();
    await broker.stop();
    machine.checkWords(broker.secrets);
  });
  return {
    get broker() {
      return broker;
    },
    get machine() {
      return machine;
    },
    getToken: (cluster = 'prod', ...more) =>
      machine.run('get-token', '--server', broker.web, '--cluster', cluster, ...more),
    login: async () => {
      const ended = await machine.run('login', '--server', broker.web);
      if (ended.code !== 0) throw new Error(ended.stderr);
    },
  };
}
