/** Who holds this bearer token? */
import type { IncomingMessage } from 'node:http';

import type { Identity } from '../../../src/core/identity/identity.ts';
import { unauthorized } from '../objects/status.ts';

export const AUTHENTICATED = 'system:authenticated';
export const UNAUTHENTICATED = 'system:unauthenticated';
export const ANONYMOUS = 'system:anonymous';

export interface TokenUser {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
}

/** Paths that need no authentication. */
const OPEN_PATHS = new Set(['/livez', '/readyz', '/version']);

/** `namespace` and `name` of `system:serviceaccount:NAMESPACE:NAME`. */
export function serviceAccountOf(username: string): { namespace: string; name: string } | undefined {
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { namespace: match[1], name: match[2] };
}

/** Groups that every service account is in. */
export const serviceAccountGroups = (namespace: string): string[] => [
  'system:serviceaccounts',
  `system:serviceaccounts:${namespace}`,
];

function identityOf(user: TokenUser): Identity {
  const account = serviceAccountOf(user.username);
  const groups = new Set([
    ...(user.groups ?? []),
    ...(account === undefined ? [] : serviceAccountGroups(account.namespace)),
    AUTHENTICATED,
  ]);
  return { username: user.username, uid: user.uid ?? '', groups: [...groups], extra: {} };
}

export interface Authenticator {
  /** Undefined for an unknown token. */
  review(token: string): Identity | undefined;
  /** @throws StatusError 401 for an unknown token, or for none on a path that needs a name */
  authenticate(request: IncomingMessage, path: string): Identity;
}

export function createAuthenticator(tokens: Readonly<Record<string, TokenUser>>): Authenticator {
  const known = new Map(Object.entries(tokens));
  const review = (token: string): Identity | undefined => {
    const user = known.get(token);
    return user === undefined ? undefined : identityOf(user);
  };
  return {
    review,
    authenticate(request, path) {
      const header = request.headers.authorization;
      if (header === undefined && OPEN_PATHS.has(path)) {
        return { username: ANONYMOUS, uid: '', groups: [UNAUTHENTICATED], extra: {} };
      }
      const token = /^bearer +(\S+)$/i.exec(header ?? '')?.[1];
      const identity = token === undefined ? undefined : review(token);
      if (identity === undefined) throw unauthorized();
      return identity;
    },
  };
}

/** True where the path is answered without asking RBAC. */
export const isOpenPath = (path: string): boolean => OPEN_PATHS.has(path);
