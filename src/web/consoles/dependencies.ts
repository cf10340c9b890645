/** What the consoles are given beside the web room's own dependencies. */
import type { Clock } from '../../contracts/clock.ts';
import type { Credential } from '../../core/credential/credential.ts';
import type { Identity } from '../../core/identity/identity.ts';
import type { Result } from '../../core/result.ts';
import type { RevocationGuard, SessionEnds } from '../../revocation/revocation.ts';
import type { Store } from '../../store/store.ts';
import type { AuditTrail } from '../../audit/audit.ts';
import type { InFront } from '../../http/client-address.ts';

export interface Console {
  readonly name: string;
  /** Lower case, without port. */
  readonly host: string;
  readonly cluster: string;
  /** `http(s)://host[:port]`, without a path. */
  readonly server: string;
  /** PEM; called at each connection. Absent: the system's authorities. */
  readonly ca?: () => string;
}

/** Same shape as room `oauth` spells it; the two rooms never import each other. */
export interface ConsoleToken {
  readonly token: string;
  readonly credential: Credential;
  readonly session: SessionEnds;
}

export interface ConsoleParts {
  readonly consoles: readonly Console[];
  readonly guard: Pick<RevocationGuard, 'check' | 'register'>;
  /** A token for the console's cluster, good for minutes. */
  readonly mintToken: (request: {
    readonly session: string;
    readonly console: { readonly name: string; readonly cluster: string };
  }) => Promise<Result<ConsoleToken, 'session_over' | 'audience_refused'>>;
  /** `clusters[].allow`, compiled. */
  readonly mayUse: (cluster: string, identity: Identity) => boolean;
}

export interface ConsoleDeps extends ConsoleParts, InFront {
  readonly store: Pick<Store, 'artefacts' | 'sessions'>;
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly logger: {
    warn(facts: object, message: string): void;
    error(facts: object, message: string): void;
  };
  readonly clock: Clock;
}

/** Where browsers see the console: on the web listener, so at its scheme and port. */
export function originOf(publicUrl: string, console: Pick<Console, 'host'>): string {
  const { protocol, port } = new URL(publicUrl);
  return `${protocol}//${console.host}${port === '' ? '' : `:${port}`}`;
}

/** Below it the console's host is ours: no path of it reaches the console. */
export const OWN_PATH = '/.portcullis';
