/** What a notice says, as text; and the texts of users in it, which are hostile. */
import type { AccessNotice, NoticeKind } from '../../../core/access/notice.ts';
import { approvalsOf, type GrantEnding } from '../../../core/access/request.ts';
import { approvalsNeeded } from '../../../core/access/role.ts';
import { minutesText } from '../../../core/time.ts';

/** Characters that are shown of a name, and of a list of names. */
const MOST_NAME = 200;

const HEADINGS: Readonly<Record<NoticeKind, string>> = {
  requested: 'Access requested',
  approved: 'Access approved, more approvals needed',
  granted: 'Access granted',
  'break-glass': 'Break-glass access taken',
  denied: 'Access denied',
  withdrawn: 'Access request withdrawn',
  expired: 'Access request expired',
  ended: 'Access ended',
};

const ENDINGS: Readonly<Record<GrantEnding, string>> = {
  expired: 'its time is over',
  user: 'its user ended it',
  approver: 'an approver ended it',
  admin: 'an admin ended it',
  session: 'its session ended',
  group: 'its user has left the groups that may ask for it',
  role: 'the role is not configured any more',
  lost: 'what was stored of it is lost',
};

/** Someone still has to decide. */
const DECIDED_LATER: ReadonlySet<NoticeKind> = new Set(['requested', 'approved']);

const utc = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });

/** A channel has readers in several zones. */
const inUtc = (epochMs: number): string => `${utc.format(new Date(epochMs))} UTC`;

export interface NoticeText {
  /** Without any text of a user. */
  readonly heading: string;
  /** Each with a value that is hostile: control characters are out, and the format has to escape it. */
  readonly facts: readonly (readonly [name: string, value: string])[];
}

export function noticeText({ kind, request, by }: AccessNotice): NoticeText {
  const { terms, grant } = request;
  const needed = approvalsNeeded(terms);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['User', request.username],
    ['Role', terms.name],
    // What it gives, in the text of the operator where there is one.
    terms.description === '' ? ['Groups', terms.groups.join(', ')] : ['Gives', terms.description],
    ['For', minutesText(request.seconds)],
    ['Clusters', terms.clusters === undefined ? 'all' : terms.clusters.join(', ')],
    ['Approvals', needed === 0 ? undefined : `${approvalsOf(request).length} of ${needed}`],
    [kind === 'denied' ? 'Denied by' : 'By', by === request.username ? undefined : by],
    ['Decide until', DECIDED_LATER.has(kind) ? inUtc(request.openUntil * 1000) : undefined],
    ['Until', grant === undefined || kind === 'ended' ? undefined : inUtc(grant.endsAt)],
    ['Device', request.deviceName],
    ['From', request.address === '' ? undefined : request.address],
    ['Ended because', grant?.ending === undefined ? undefined : ENDINGS[grant.ending]],
    ['Withdrawn because', request.sessionEnded === true ? ENDINGS.session : undefined],
    ['Reason', request.reason === '' ? undefined : request.reason],
    ['Reason of the denial', request.decisions.find(({ approved }) => !approved)?.reason],
  ];
  return {
    heading: `${HEADINGS[kind]}: ${terms.name}`,
    facts: facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, shown(name, value)] as const])),
  };
}

/** Reasons have a limit of their own, where they enter. */
const shown = (name: string, value: string): string =>
  shortened(plain(value), name.startsWith('Reason') ? 500 : MOST_NAME);

/** An attacker writes from right to left, or over several lines, so that a message seems to say something else. */
const plain = (text: string): string => text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim();

function shortened(text: string, most: number): string {
  // Half of a character would be none.
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
