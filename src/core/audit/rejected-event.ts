/**
 * Audit events that an unauthenticated client can cause: requests and sign-ins without a valid credential.
 *
 * An attacker who reaches the server can cause any number of them, and chooses much of their content. So they are
 * kept apart from users' events, and short.
 */
import type { PortcullisEventName } from './catalogue.ts';
import type { AuditEvent, AuditedUser } from './event.ts';
import { EXTRA_DOMAIN } from '../core.ts';

/**
 * Events of Portcullis itself about an invalid credential, or one that was not issued; and the event that counts
 * omitted ones.
 */
const EVENTS: ReadonlySet<string> = new Set<PortcullisEventName>([
  'sign-in-refused',
  'workload-refused',
  'refresh-refused',
  'logout-refused',
  'malformed-request',
  'rejections-omitted',
]);

const EVENT = `${EXTRA_DOMAIN}/event`;
const ACCOUNT = `${EXTRA_DOMAIN}/account`;
const CUT = `${EXTRA_DOMAIN}/cut`;
const ADMITTED = `${EXTRA_DOMAIN}/admitted`;
const REASON = `${EXTRA_DOMAIN}/reason`;

/** Why a request of an account of which too many events wait is rejected: another event for each would make it worse. */
export const AUDIT_BACKLOG = 'audit_backlog';

/**
 * Decides by who responded, and never by the status alone: an attacker lets a pod of theirs respond with 401 to
 * requests that it executes (`…/proxy`), and each would leave the audit log as if its credential had been bad. So a
 * 401 counts only if Portcullis responded itself, and had not admitted the request before. So does the 429 of an account
 * that has more than its share of the events that wait.
 * @returns whether the event is of a request that Portcullis rejected for its credential (whomever it named) or its share, or of
 * an unidentified client. Actions that the server takes by itself belong to no request, and are no rejections; a
 * request may well have no address, if a proxy in front is not trusted
 */
export function isRejection(rejected: AuditEvent): boolean {
  const { annotations, responseStatus, user } = rejected;
  const event = annotations[EVENT];
  if (event !== undefined && EVENTS.has(event)) return true;
  // Only of an event of Portcullis itself: what a client sent is looked at where it is written, and not before.
  if (annotations[ADMITTED] !== undefined || (event !== undefined && rejected.requestURI === '')) return false;
  const code = responseStatus?.code;
  const isOurResponse = event !== undefined || responseStatus?.status !== undefined;
  if (code === 401 && isOurResponse) return true;
  if (code === 429 && event === undefined && isOurResponse && annotations[REASON] === AUDIT_BACKLOG) return true;
  const isKnown = (user.username ?? '') !== '' || annotations[ACCOUNT] !== undefined;
  return !isKnown && (code === undefined || code >= 400);
}

/**
 * Decides by who responded, as `isRejection` does.
 * @returns whether the event is of a request with which nothing was done, from any client: it may be left out where there is
 * no space for what was done. Of our own actions that is said by the code: an approval was asked for with 409, and a
 * revocation that could not be written is held with 503
 */
export function isRefused({ annotations, responseStatus }: AuditEvent): boolean {
  const event = annotations[EVENT];
  const code = responseStatus?.code ?? 0;
  if (event === undefined) return responseStatus?.status !== undefined && annotations[ADMITTED] === undefined;
  if (EVENTS.has(event) || event.endsWith('-refused') || annotations[REASON] === 'audit_unavailable') return true;
  return code >= 400 && code < 500 && code !== 409;
}

/** Characters. Enough to see what was attempted, and by which program. */
const MOST = { requestURI: 256, userAgent: 128, name: 64, username: 256 } as const;
const MARK = '...TRUNCATED';

/**
 * Returns the event with client-chosen text cut to a few hundred characters, and without groups. The annotation
 * `cut` names what was cut, with its length.
 */
export function shortened(event: AuditEvent): AuditEvent {
  const before = event.annotations[CUT];
  const cut: string[] = before === undefined ? [] : before.split(' ');
  const short = (name: string, text: string, most: number): string => {
    if (text.length <= most) return text;
    if (!cut.some((each) => each.startsWith(`${name}=`))) cut.push(`${name}=${text.length}`);
    return `${text.slice(0, most)}${MARK}`;
  };
  const user = (name: string, { username, uid, groups = [], extra = {} }: AuditedUser): AuditedUser => {
    const left = groups.length + Object.keys(extra).length;
    if (left > 0) cut.push(`${name}.groups=${left}`);
    return {
      ...(username === undefined ? {} : { username: short(`${name}.username`, username, MOST.username) }),
      ...(uid === undefined ? {} : { uid: short(`${name}.uid`, uid, MOST.username) }),
    };
  };
  const { userAgent, objectRef, impersonatedUser } = event;
  const changed = {
    requestURI: short('requestURI', event.requestURI, MOST.requestURI),
    verb: short('verb', event.verb, MOST.name),
    user: user('user', event.user),
    ...(impersonatedUser === undefined ? {} : { impersonatedUser: user('impersonatedUser', impersonatedUser) }),
    ...(userAgent === undefined ? {} : { userAgent: short('userAgent', userAgent, MOST.userAgent) }),
    ...(objectRef === undefined
      ? {}
      : {
          objectRef: {
            ...objectRef,
            ...Object.fromEntries(
              Object.entries({ ...objectRef }).map(([part, text]) => [
                part,
                text === undefined ? text : short(`objectRef.${part}`, text, MOST.name),
              ]),
            ),
          },
        }),
  };
  if (cut.length === 0) return event;
  const annotations = Object.assign({ [CUT]: '' }, event.annotations, { [CUT]: cut.join(' ') });
  return { ...event, ...changed, annotations };
}
