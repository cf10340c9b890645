/** The dependencies of the consoles, in addition to those of the web module. */
import type { Config } from '../../config/config.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Credential } from '../../core/credential/credential.ts';
import type { Identity } from '../../core/identity/identity.ts';
import type { Result } from '../../core/result.ts';
import type { RevocationGuard, SessionEnds } from '../../revocation/revocation.ts';
import type { Store } from '../../store/store.ts';
import type { AuditTrail } from '../../audit/audit.ts';
import type { ClientAddressOptions } from '../../http/client-address.ts';
import type { RecheckBrowser } from '../browser/recheck.ts';

export interface Console {
  readonly name: string;
  /** Lower case, without port. */
  readonly host: string;
  readonly cluster: string;
  /** `http(s)://host[:port]`, without a path. */
  readonly server: string;
  /** PEM; called at each connection. Absent: the system's CAs. */
  readonly ca?: () => string;
}

/** The same shape as in module `oauth`; the two modules never import each other. */
export interface ConsoleToken {
  readonly token: string;
  readonly credential: Credential;
  readonly session: SessionEnds;
}

export interface ConsoleParts {
  readonly consoles: readonly Console[];
  readonly guard: Pick<RevocationGuard, 'check' | 'register'>;
  /** Mints a token for the console's cluster, valid for minutes. */
  readonly mintToken: (request: {
    readonly session: string;
    readonly console: { readonly name: string; readonly cluster: string };
  }) => Promise<Result<ConsoleToken, 'session_over' | 'audience_refused'>>;
  /** `clusters[].allow`, compiled. */
  readonly mayUse: (cluster: string, identity: Identity) => boolean;
}

export interface ConsoleDeps extends ConsoleParts, ClientAddressOptions {
  readonly store: Pick<Store, 'artefacts' | 'sessions'>;
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly logger: {
    warn(facts: object, message: string): void;
    error(facts: object, message: string): void;
  };
  readonly clock: Clock;
  readonly limits: Pick<Config['limits'], 'connections' | 'inFlightPerUser'>;
  /** Absent: no provider is asked again. */
  readonly recheck?: RecheckBrowser;
}

/** Returns the origin of the console for browsers: at the scheme and port of the web listener. */
export function originOf(publicUrl: string, console: Pick<Console, 'host'>): string {
  const { protocol, port } = new URL(publicUrl);
  return `${protocol}//${console.host}${port === '' ? '' : `:${port}`}`;
}

/** Paths below it are ours on the console's host; they never reach the console. */
export const RESERVED_PATH = '/.portcullis';
