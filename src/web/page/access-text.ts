/** Access requests and grants as text and small pieces of markup, for every page that shows them. */
import {
  approvalsOf,
  isOpen,
  MOST_REASON,
  type AccessRequest,
  type AccessState,
  type GrantEnding,
  type GrantPeriod,
  isActive,
} from '../../core/access/request.ts';
import { approvalsNeeded, type RoleTerms } from '../../core/access/role.ts';
import { minutesText, rfc3339 } from '../../core/time.ts';
import { plainText } from '../../http/request-context.ts';
import { html, type Html } from './html.ts';
import { moment } from './layout.ts';

export const accessHref = (id: string): string => `/access/${encodeURIComponent(id)}`;

/** Returns how long it is until then, in the same texts as `pages.js`, which counts it down. All in milliseconds. */
export function timeLeft(endsAt: number, nowMs: number): Html {
  const minutes = Math.ceil((endsAt - nowMs) / 60_000);
  const text = minutes <= 0 ? 'over' : minutes === 1 ? 'less than 1 min left' : `${minutesText(minutes * 60)} left`;
  return html`<time datetime="${rfc3339(Math.floor(endsAt / 1000))}" data-left>${text}</time>`;
}

/**
 * Returns a user's own text as a quotation. An attacker writes *approved by security*, or characters that turn the text
 * around it, so it stands apart, in quotation marks, and without characters that cannot be seen.
 * @param most characters, for a list; the page of the request has all of it
 */
export function quotedReason(reason: string, most = MOST_REASON): Html {
  const text = plainText(reason, MOST_REASON);
  return html`<q class="quoted"><bdi>${text.length > most ? `${text.slice(0, most)}…` : text}</bdi></q>`;
}

const ENDINGS: Readonly<Record<GrantEnding, string>> = {
  expired: 'its time was over',
  user: 'ended by its user',
  approver: 'ended by an approver',
  admin: 'ended by an admin',
  session: 'its session ended',
  group: 'its user left the groups that may ask for it',
  role: 'the role is not configured any more',
  lost: 'what was stored of it is lost',
};

/** The states of a request, as a filter and as text. */
export const STATES: Readonly<Record<AccessState, string>> = {
  open: 'Waiting',
  granted: 'Granted',
  denied: 'Denied',
  withdrawn: 'Withdrawn',
  expired: 'Not decided in time',
  ended: 'Over',
};

const state = (style: string, text: string): Html => html`<span class="state ${style}">${text}</span>`;

/** Returns why a grant is over, and who ended it where that is not its user: `ended by an admin: root`. */
export function endingText({ ending = 'expired', endedBy }: Pick<GrantPeriod, 'ending' | 'endedBy'>): Html {
  const by = (ending === 'approver' || ending === 'admin') && endedBy !== undefined && html`: <bdi>${endedBy}</bdi>`;
  return html`${ENDINGS[ending]}${by}`;
}

/** Returns the state of a request with what matters about it now: approvals so far, the time left, or why it is over. */
export function stateOf(request: AccessRequest, nowMs: number): Html {
  const { grant, terms } = request;
  if (isOpen(request, nowMs / 1000)) {
    return html`${state('warn', STATES.open)}
      <span class="small muted">${approvalsOf(request).length} of ${approvalsNeeded(terms)} approvals</span>`;
  }
  if (isActive(request, nowMs) && grant !== undefined) {
    return html`${state('ok', STATES.granted)} <span class="small muted">${timeLeft(grant.endsAt, nowMs)}</span>`;
  }
  if (grant !== undefined) {
    return html`${state('quiet', STATES.ended)} <span class="small muted">${endingText(grant)}</span>`;
  }
  if (request.sessionEnded === true)
    return html`${state('quiet', STATES.withdrawn)} <span class="small muted">${ENDINGS.session}</span>`;
  const name = request.state === 'open' ? 'expired' : request.state;
  return state(name === 'denied' ? 'bad' : 'quiet', STATES[name]);
}

const badge = (name: string): Html => html`<li class="badge">${name}</li>`;

/** Returns names as a list; `none` for an empty one. */
export const nameList = (names: readonly string[], none: string): Html =>
  names.length === 0
    ? html`<span class="muted">${none}</span>`
    : html`<ul class="list">
        ${names.map(badge)}
      </ul>`;

/** Returns the clusters where the groups of a role count. */
export const clusterList = ({ clusters }: Pick<RoleTerms, 'clusters'>): Html =>
  clusters === undefined ? html`all clusters` : nameList(clusters, 'no cluster');

/** Returns who must approve, as a sentence without its end. */
export function approvalText({ approval }: Pick<RoleTerms, 'approval'>): Html {
  if (approval === 'none') return html`<span class="state warn">Break-glass</span> at once, without approval`;
  const { groups, count } = approval;
  if (groups.length === 0) return html`<span class="state quiet">no one may approve</span>`;
  const who = count === 1 ? 'one member of' : `${count} different members of`;
  return html`${who} ${groups.join(' or ')}`;
}

/** Returns the period of a grant: from when until when. */
export const periodText = ({ beganAt, endsAt, endedAt }: GrantPeriod): Html =>
  html`${moment(Math.floor(beganAt / 1000))} to ${moment(endedAt ?? Math.floor(endsAt / 1000))}`;
