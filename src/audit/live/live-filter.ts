/** The filter of a tail. */
import type { AuditEvent } from '../../core/audit/event.ts';
import { isOfAllNamespaces } from '../../core/audit/sentence.js';
import { EXTRA_DOMAIN, EXTRA_GRANT } from '../../core/core.ts';

/** Every given field must match; values are compared as they are in the audit log. */
export interface LiveFilter {
  /** Username, of who asked or of the user that they acted as. */
  readonly user?: string;
  /** Username of the user that another one acted as; `*`: any. */
  readonly as?: string;
  /** What it did, and what was done to it: a revocation, a lock. */
  readonly account?: string;
  /** A session, with what was done beneath it, and its revocation; or a delegated session alone. */
  readonly session?: string;
  /** Who acts in a delegated session, at any level; or all who do, as `claude/reviewer`; `*`: any. */
  readonly actor?: string;
  /** An access request, or what was done with its grant. */
  readonly grant?: string;
  readonly cluster?: string;
  /** One, or several with commas between them. */
  readonly verb?: string;
  /** `pods` with every subresource, or `pods/exec` alone; several with commas between them. */
  readonly resource?: string;
  /** Found too: what was read or deleted in all namespaces at once. */
  readonly namespace?: string;
  /** HTTP status. */
  readonly code?: string;
  /** `true`: only requests rejected by the proxy or by the cluster. */
  readonly refused?: string;
  /** The name of one of Portcullis' own events, or several with commas between them. */
  readonly event?: string;
}

/** Any, as long as there is one. */
const ANY = '*';

/**
 * @param filter of a tail, or of a query, which may name the object as well
 * @returns whether the event is shown
 */
export function matches(filter: LiveFilter & { readonly name?: string }, event: AuditEvent): boolean {
  const fact = (name: string): string | undefined => event.annotations[`${EXTRA_DOMAIN}/${name}`];
  const {
    user,
    as,
    account,
    session,
    actor,
    grant,
    cluster,
    verb,
    resource,
    namespace,
    code,
    refused,
    event: name,
  } = filter;
  const fits = (wanted: string | undefined, found: string | undefined): boolean =>
    wanted === undefined || wanted === found;
  return (
    (fits(user, event.user.username) || user === event.impersonatedUser?.username) &&
    (fits(as, event.impersonatedUser?.username) || (as === ANY && event.impersonatedUser?.username !== undefined)) &&
    (verb === undefined || verb.split(',').includes(event.verb)) &&
    (fits(namespace, event.objectRef?.namespace) || isOfAllNamespaces(event)) &&
    fits(code, event.responseStatus === undefined ? undefined : String(event.responseStatus.code)) &&
    (fits(account, fact('account')) || fact('target') === `account:${account}`) &&
    (fits(session, fact('session')) ||
      fits(session, fact('delegated-session')) ||
      fact('target') === `session:${session}`) &&
    (actor === undefined || isActor(actor, fact('actor'))) &&
    (grant === undefined || hasGrant(grant, event)) &&
    fits(cluster, fact('cluster')) &&
    (name === undefined || name.split(',').includes(fact('event') ?? '')) &&
    fits(filter.name, event.objectRef?.name) &&
    (resource === undefined || resource.split(',').some((one) => isOf(one, event))) &&
    (refused !== 'true' || wasRefused(event, fact('event'), fact('reason')))
  );
}

const isActor = (actor: string, found: string | undefined): boolean =>
  found !== undefined && (actor === ANY || found === actor || found.split('/').includes(actor));

/** An API server's own audit log has it as an extra; what is in a file may be anything. */
function hasGrant(grant: string, { annotations, impersonatedUser }: AuditEvent): boolean {
  const extra: unknown = impersonatedUser?.extra?.[EXTRA_GRANT];
  const found: readonly unknown[] = [annotations[EXTRA_GRANT], ...(Array.isArray(extra) ? (extra as unknown[]) : [])];
  return found.some((ids) => typeof ids === 'string' && ids.split(' ').includes(grant));
}

function isOf(resource: string, { objectRef }: AuditEvent): boolean {
  if (objectRef === undefined) return false;
  const whole = objectRef.subresource === undefined ? undefined : `${objectRef.resource}/${objectRef.subresource}`;
  return resource === objectRef.resource || resource === whole;
}

/**
 * Decides by the status if that is enough; a request that the proxy itself rejected has a reason, whatever its
 * status.
 */
function wasRefused(event: AuditEvent, name: string | undefined, reason: string | undefined): boolean {
  const code = event.responseStatus?.code ?? 0;
  if (code === 401 || code === 403) return true;
  if (name !== undefined) return name.endsWith('-refused') || name === 'malformed-request';
  return reason !== undefined && code >= 400;
}
