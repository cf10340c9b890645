import type { AccessStore } from '../store.ts';
import { unavailable } from './unavailable.ts';

const rejects = async (): Promise<never> => {
  throw unavailable('redis_incomplete');
};

/** Nothing is granted in Redis yet. */
export class RedisAccess implements AccessStore {
  readonly create = rejects;
  readonly find = rejects;
  readonly list = rejects;
  readonly change = rejects;
  readonly begin = rejects;
  readonly ended = rejects;
  readonly active = rejects;
  readonly claimEnding = rejects;
}
