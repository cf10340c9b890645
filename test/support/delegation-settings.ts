import type { Config } from '../../src/config/config.ts';

/** `delegation` where nothing is configured. */
export const DELEGATION: Config['delegation'] = {
  enabled: true,
  most: 'rules',
  lifetime: 8 * 3600,
  perSession: 20,
  clients: [],
  clientMetadata: { hosts: [] },
};
