/** What every TLS connection has in common that may be of version 1.2. */
import { constants } from 'node:crypto';

/**
 * An attacker answers in the place of one API server, and asks for a second handshake on connections that have had theirs:
 * OpenSSL reads and checks its certificates whenever they come, 47 kB that take 0.28 s, on twenty connections in one turn.
 * No one needs one: API servers and providers never ask.
 */
export const TLS_12 = { minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION } as const;
