/** Access requests as text, for a terminal and for a pipe. Every text of a server or a user is made plain. */
import { LAPSE_TEXTS } from '../../core/access/request.ts';
import type { CliContext } from '../context.ts';
import { factLines, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { idsFor, timeFor } from '../terminal/list-table.ts';
import type { TableContent } from '../terminal/table.ts';
import { bothWays, spanText } from '../terminal/time.ts';
import type { RequestItem, RoleItem } from './responses.ts';

type Terminal = Pick<CliContext, 'columns' | 'nowMs'>;

const listed = (names: readonly string[]): string => plainText(names.join(', '), 1000) || 'none';
const where = (clusters: readonly string[] | undefined): string =>
  clusters === undefined ? 'all clusters' : listed(clusters);

/** Returns a time of a server both ways. Where it is none, or stdout is no terminal: as it is. */
function moment({ columns, nowMs }: Terminal, text: string): string {
  const at = Date.parse(text);
  return columns === undefined || Number.isNaN(at) ? plainText(text, 40) : bothWays(at, nowMs());
}

/** Whether what was granted is there now. */
export const isActive = ({ state, grant }: RequestItem): boolean =>
  state === 'granted' && grant !== undefined && (grant.leftSeconds ?? 1) > 0;

/**
 * Returns the end of a grant. By the server's remaining time, where it gives one: this machine's clock may be wrong, and
 * its owner waits for the end by it.
 */
function endOf(terminal: Terminal, { grant }: RequestItem): string {
  if (grant === undefined) return '-';
  const now = terminal.nowMs();
  const { leftSeconds, endsAt } = grant;
  if (terminal.columns === undefined || leftSeconds === undefined) return moment(terminal, endsAt);
  const at = now + Math.min(Math.max(leftSeconds, 0), 366 * 86_400) * 1000;
  return bothWays(at, now);
}

const approvals = ({ decisions }: RequestItem): number =>
  decisions.filter(({ approved, lapsed }) => approved && lapsed === undefined).length;

/** Returns the state in short: `open, 1 of 2 approvals`, `granted`, `denied by corp:bob`. */
export function stateText(request: RequestItem): string {
  const { state, needed, decisions, grant } = request;
  const by = (name: string | undefined): string => (name === undefined ? '' : ` by ${plainText(name, 200)}`);
  switch (state) {
    case 'open':
      return `open, ${approvals(request)} of ${needed} approvals`;
    case 'granted':
      return isActive(request) ? 'granted' : 'over';
    case 'denied':
      return `denied${by(decisions.find(({ approved }) => !approved)?.user)}`;
    case 'ended':
      return `ended${endingText(grant?.ending, by(grant?.endedBy))}`;
    case 'withdrawn':
      return request.sessionEnded === true ? 'withdrawn: its session has ended' : state;
    case 'expired':
      return state;
  }
}

const ENDINGS: ReadonlyMap<string, string> = new Map([
  ['expired', ': its time was up'],
  ['session', ' with its session'],
  ['group', ': its user left the group that may ask for it'],
  ['role', ': the role was removed or changed'],
  ['lost', ': what was stored of it could not be read'],
]);

const endingText = (ending: string | undefined, by: string): string => ENDINGS.get(ending ?? '') ?? by;

/** Returns what was given as a reason, in quotes; empty for none. */
export const quoted = (reason: string | undefined): string => (reason ? `: "${plainText(reason)}"` : '');

/** Returns why an approval counts no longer; empty where it counts. */
export const lapseText = (lapsed: keyof typeof LAPSE_TEXTS | undefined): string =>
  lapsed === undefined ? '' : ` (counts no longer: ${LAPSE_TEXTS[lapsed]})`;

/** Returns the facts of a request, a line for each. Ends with a newline. */
export function requestFacts(terminal: Terminal, request: RequestItem, link: string): string {
  const { id, role, description, groups, clusters, user, account, address, device, reason, seconds } = request;
  const { state, decisions, grant, may } = request;
  const from = [plainText(address, 60), ...(device === undefined ? [] : [`"${plainText(device, 100)}"`])].join(', ');
  const began = grant === undefined ? '' : `${moment(terminal, grant.beganAt)}, until ${endOf(terminal, request)}`;
  return factLines([
    ['request', id],
    ['user', `${plainText(user)} (${plainText(account)}), from ${from}`],
    ['role', `${plainText(role, 80)}: ${plainText(description)}`],
    ['gives', `${groups.length === 1 ? 'group' : 'groups'} ${listed(groups)}, at ${where(clusters)}`],
    ['for', spanText(seconds)],
    ['reason', reason === '' ? 'none' : plainText(reason)],
    ['asked', moment(terminal, request.requestedAt)],
    ['state', `${stateText(request)}${state === 'open' ? `, until ${moment(terminal, request.openUntil)}` : ''}`],
    ...decisions.map(({ approved, user: who, at, reason: why, lapsed }) => [
      approved ? 'approved' : 'denied',
      `by ${plainText(who)} ${moment(terminal, at)}${quoted(why)}${lapseText(lapsed)}`,
    ]),
    ...(grant === undefined ? [] : [['granted', began]]),
    ...(grant?.endedAt === undefined ? [] : [['ended', moment(terminal, grant.endedAt)]]),
    ['page', link],
    ...(may.length === 0 ? [] : [['you may', listed(may)]]),
  ]);
}

/** Whom to send the link to, so that a user need not ask around. */
function approvalText(needed: number, approvers: readonly string[] = []): string {
  if (needed === 0) return 'none: break-glass';
  const of = approvers.length === 0 ? '' : ` of ${approvers.join(',')}`;
  return `${needed} ${needed === 1 ? 'user' : 'users'}${of}`;
}

/** Returns the roles that the user may ask for, as a table. */
export function roleTable(roles: readonly RoleItem[]): TableContent {
  const rows = roles.map(({ name, longestSeconds, needed, approvers, groups, clusters, description }) => [
    name,
    spanText(longestSeconds),
    approvalText(needed, approvers),
    groups.join(','),
    where(clusters),
    description,
  ]);
  const headings = ['ROLE', 'UP TO', 'APPROVAL', 'GROUPS', 'CLUSTERS', 'WHAT FOR'];
  return { headings, rows, ranked: ['ROLE', 'WHAT FOR', 'UP TO', 'APPROVAL', 'CLUSTERS'] };
}

/**
 * Returns requests of the user, or of others, as a table.
 * @param whose `mine` with the session of this machine: what another session has been granted is no use here
 */
export function requestTable(
  terminal: Terminal,
  options: OutputOptions,
  requests: readonly RequestItem[],
  whose: { readonly mine: string | undefined } | 'queue',
): TableContent {
  const isMine = whose !== 'queue';
  const here = whose === 'queue' ? undefined : whose.mine;
  const isElsewhere = (request: RequestItem): boolean =>
    here !== undefined && request.session !== here && isActive(request);
  const ids = idsFor(
    terminal,
    options,
    requests.map(({ id }) => id),
  );
  const rows = requests.map((request, index) => {
    const { user, role, state, needed, seconds, reason, requestedAt } = request;
    return [
      ids[index] ?? '',
      ...(isMine ? [] : [user]),
      role,
      `${state === 'open' ? `open ${approvals(request)}/${needed}` : stateText(request)}${isElsewhere(request) ? ', to another session' : ''}`,
      isActive(request) ? leftOf(terminal, request) : '',
      spanText(seconds),
      timeFor(terminal, requestedAt),
      reason,
    ];
  });
  const headings = ['ID', ...(isMine ? [] : ['USER']), 'ROLE', 'STATE', 'UNTIL', 'FOR', 'ASKED', 'REASON'];
  // Who approves decides by the reason; who has asked wants to know how long it lasts.
  const ranked = isMine ? headings : ['ID', 'USER', 'ROLE', 'REASON', 'FOR', 'STATE'];
  return { headings, rows, ranked };
}

/** Returns the time left of a grant on a terminal, its end in a pipe. */
function leftOf(terminal: Terminal, request: RequestItem): string {
  const { leftSeconds, endsAt } = request.grant ?? {};
  if (terminal.columns === undefined || leftSeconds === undefined) return timeFor(terminal, endsAt ?? '');
  return `in ${spanText(Math.max(Math.floor(leftSeconds), 0))}`;
}

/** Returns what a user has from now on. */
export const grantedText = (terminal: Terminal, request: RequestItem): string =>
  `${plainText(request.role, 80)} until ${endOf(terminal, request)}: ${
    request.groups.length === 1 ? 'group' : 'groups'
  } ${listed(request.groups)}, at ${where(request.clusters)}`;

/** Returns how far the approvals are: `1 of 2 approvals`. */
export const approvalsText = (request: RequestItem): string => `${approvals(request)} of ${request.needed} approvals`;
