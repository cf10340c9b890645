/**
 * `/admin/revocations/:id`: the receipt of a revocation, as it comes in: which replicas have applied it, how many
 * streams each has cut, and whether it is proven.
 *
 * `receipt.js` keeps it up to date. All texts are on this page: the script copies the row of each state from a
 * template, and fills the elements that have a name in `data-text`.
 */
import { ADMIN } from '../../core/api/rejections.ts';
import { problemFor } from '../../http/problem.ts';
import type { ReplicaReceipt, RevocationResult } from '../../revocation/revocation.ts';
import { type RevocationReceipt, isFollowed } from '../../services/admin/admin.ts';
import { accessHref, endingText, nameList, periodText } from '../page/access-text.ts';
import { card, facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { delegatedText } from '../page/receipt.ts';
import { table, tableRow, type Column } from '../page/table.ts';
import { momentSeconds } from '../page/layout.ts';
import { unlockForm } from './form-fields.ts';
import { accountHref, auditHref, receiptHref, revokeHref } from './links.ts';
import { endedCard, endsInLog, type EndsInLog } from './what-ended.ts';
import type { Account } from '../../core/identity/identity.ts';
import type { AccessRequest } from '../../core/access/request.ts';
import { rfc3339 } from '../../core/time.ts';
import { sortedById, countOf, formatMs } from './format.ts';
import { adminContextAt, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { defined } from '../../core/defined.ts';

type State = ReplicaReceipt['state'];

const STATES: Readonly<Record<State, { readonly style: string; readonly text: string }>> = {
  applied: { style: 'ok', text: 'applied' },
  pending: { style: 'warn', text: 'not confirmed yet' },
  fenced: { style: 'quiet', text: 'fenced: silent for so long that it rejects every request' },
};

/** What a replica has reported; without a receipt for the empty row that the script fills. */
interface ReceiptRow {
  readonly state: State;
  readonly receipt?: ReplicaReceipt;
}

const REPLICAS: readonly Column<ReceiptRow>[] = [
  { heading: 'Replica', kind: 'main', cell: ({ receipt }) => html`<span data-text="id">${receipt?.id}</span>` },
  {
    heading: 'State',
    cell: ({ state }) => html`<span class="state ${STATES[state].style}">${STATES[state].text}</span>`,
  },
  {
    heading: 'Streams cut',
    cell: ({ receipt }) => html`<span data-text="streams">${receipt?.streamsClosed ?? '–'}</span>`,
  },
  {
    heading: 'After',
    cell: ({ receipt }) =>
      html`<span data-text="after">${receipt?.ms === undefined ? '–' : formatMs(receipt.ms)}</span>`,
  },
];

const template = (state: State): Html =>
  html`<template data-row="${state}">${tableRow({ columns: REPLICAS }, { state })}</template>`;

/** @param followed false where nothing can complete it any more */
function verdict(result: RevocationResult, followed: boolean): Html {
  const proven = html`<div class="notice ok">
    <p>
      <strong>Complete.</strong> No replica accepts what you revoked any more.
      ${!result.complete && html`<a href="${receiptHref(result.id)}">What ended</a>`}
    </p>
  </div>`;
  const missing = html`<span data-text="missing">${(result.missing ?? []).join(', ')}</span>`;
  const pending = followed
    ? html`<div class="notice warn">
        <p>
          <strong>Written, and being proven.</strong> Every replica applies it; these have not confirmed yet:
          ${missing}.
        </p>
      </div>`
    : html`<div class="notice warn">
        <p>
          <strong>Written, and not proven.</strong> Every replica applies it, but it is not followed any more. When it
          last was, these had not confirmed: ${missing}. To have a proof, revoke again.
        </p>
      </div>`;
  return html`<div role="status">
    <div ${shownWhere(result, true)}>${proven}</div>
    <div ${shownWhere(result, false)}>${pending}</div>
  </div>`;
}

function figures(result: RevocationResult): Html {
  const figure = (name: string, value: string | number, text: string): Html =>
    html`<div class="figure">
      <dt>${text}</dt>
      <dd data-text="${name}">${value}</dd>
    </div>`;
  return html`<dl class="figures">
    ${figure('sessions', result.sessions, 'Sessions ended')}
    ${figure('streamsClosed', result.streamsClosed, 'Streams cut')}
    ${figure('elapsed', formatMs(result.elapsedMs), 'Duration')}
  </dl>`;
}

function replicasCard(result: RevocationResult): Html {
  return html`<section class="card" aria-labelledby="replicas">
    <div class="card-head">
      <h2 id="replicas">Receipts of <span data-text="replicas">${countOf(result.replicas.length, 'replica')}</span></h2>
      ${!result.complete && html`<span class="live" data-connection hidden></span>`}
    </div>
    ${table({
      columns: REPLICAS,
      rows: sortedById(result.replicas).map((receipt) => ({ state: receipt.state, receipt })),
      live: true,
    })}
    ${(['applied', 'pending', 'fenced'] as const).map(template)}
  </section>`;
}

/** Returns the card with what was revoked, by whom and why; nothing where it did not come from an admin. */
function requestCard(receipt: RevocationReceipt): Html | false {
  const { target, lock, reason, by, auditId } = receipt;
  const delegated = delegatedText(receipt);
  if (target === undefined || auditId === undefined) return false;
  const list = facts([
    ['Target', html`<code>${target}</code>${lock === true && ', and the account was locked'}`],
    delegated !== '' && ['Delegated sessions that ended with it', delegated],
    receipt.requestsWithdrawn !== undefined && ['Access requests withdrawn', receipt.requestsWithdrawn],
    ['Reason', reason],
    ['By', by],
    ['Audit event', html`<a href="${auditHref(auditId)}"><code>${auditId}</code></a>`],
  ]);
  return card('request', 'What was revoked', list);
}

/** Returns the receipt as lines of text, for a ticket. */
function receiptText(receipt: RevocationReceipt): string {
  const { id, at, target, lock, reason, by, auditId, complete, missing, sessions, streamsClosed, elapsedMs } = receipt;
  const { requestsWithdrawn } = receipt;
  const verdict = complete ? 'complete' : `not complete, missing: ${(missing ?? []).join(', ')}`;
  const replicas = sortedById(receipt.replicas).map(({ id: name, state }) => `${name} ${state}`);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Revocation', id],
    ['Started', at],
    ['Target', target],
    ['Lock', lock === undefined ? undefined : lock ? 'yes' : 'no'],
    ['Reason', reason],
    ['By', by],
    ['Audit event', auditId],
    ['Result', `${verdict}; ${sessions} sessions ended, ${streamsClosed} streams cut, ${formatMs(elapsedMs)}`],
    ['Delegated sessions', delegatedText(receipt) || undefined],
    ['Access requests withdrawn', requestsWithdrawn === undefined ? undefined : String(requestsWithdrawn)],
    ['Replicas', replicas.join(', ')],
  ];
  return facts.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`])).join('\n');
}

/** Returns the receipt to copy. The buttons work with a script only; without one the text can be selected. */
function copyCard(receipt: RevocationReceipt): Html {
  const copy = (id: string, label: string, text: string): Html =>
    html`<div class="card-head">
        <h3>${label}</h3>
        <button class="button quiet compact" data-copy="${id}" aria-label="Copy ${label}" hidden>Copy</button>
      </div>
      <pre class="commands" id="${id}" tabindex="0">${text}</pre>`;
  return html`<details class="card">
    <summary>Copy as text or JSON</summary>
    ${copy('as-text', 'Text', receiptText(receipt))} ${copy('as-json', 'JSON', JSON.stringify(receipt, null, 2))}
    <p class="small muted">As of the moment when this page was loaded.</p>
  </details>`;
}

/** Returns the account of a revocation of one. */
const accountOf = ({ target = '' }: RevocationReceipt): string | undefined =>
  target.startsWith(ACCOUNT) ? target.slice(ACCOUNT.length) : undefined;

const ACCOUNT = 'account:';

/** Returns the card about what the proof does not cover: whether the user can sign in again, and the way back. */
function nextCard(result: RevocationReceipt, { mayAct, granted, locked }: ReceiptView): Html {
  if (granted !== undefined) {
    return html`<p>
      <a class="button" href="/admin/access">All access requests</a>
    </p>`;
  }
  const account = accountOf(result);
  const again = html`<p>
    They can sign in again by themselves. To keep them out, lock the account, and disable it at the identity provider.
  </p>`;
  const isLocked = html`<p>The account is locked: no one can sign in to it until an admin unlocks it.</p>
    ${mayAct && account !== undefined && locked !== undefined && unlockForm(account, locked.csrf, 'person')}`;
  const fresh = html`<p>
    ${result.lock === true && 'The account was locked, and is not any more. '}Their next sign-in must be a fresh one.
  </p>`;
  const lockHref = account === undefined ? '/admin/locks' : revokeHref({ kind: 'account', value: account, lock: true });
  return html`<section class="card" aria-labelledby="next">
    <h2 id="next">What next?</h2>
    ${locked !== undefined ? isLocked : result.canSignInAgain ? again : fresh}
    <div class="row">
      ${account !== undefined && html`<a class="button" href="${accountHref(account)}">This user</a>`}
      <a class="button quiet" href="/admin/revocations">All revocations</a>
      ${mayAct && locked === undefined && result.canSignInAgain && html`<a class="button quiet" href="${lockHref}">Lock an account</a>`}
    </div>
  </section>`;
}

/** Returns the card of what was granted, which the target names by its id only. */
function grantCard({ id, terms, username, account, grant }: AccessRequest): Html {
  const list = facts([
    ['Role', html`<a href="${accessHref(id)}">${terms.name}</a>`],
    ['User', html`<a href="${accountHref(account)}"><bdi>${username}</bdi></a>`],
    ['Groups', nameList(terms.groups, 'none')],
    grant !== undefined && ['From', [periodText(grant), grant.ending !== undefined && [', ', endingText(grant)]]],
  ]);
  const note = html`<p class="small muted">Only this ended; the session goes on without it.</p>`;
  return card('grant', 'What was granted', list, note);
}

const GRANT = 'grant:';

/** The page is useful without it. */
async function grantOf(context: AdminPageContext, { target }: RevocationReceipt): Promise<AccessRequest | undefined> {
  const { deps } = context;
  if (deps.access === undefined || target?.startsWith(GRANT) !== true) return undefined;
  const found = await deps.access.find(adminContextAt(context), target.slice(GRANT.length)).catch(() => undefined);
  return found?.ok === true ? found.value : undefined;
}

interface ReceiptView {
  /** The URL of its server-sent events; absent where the admin's session has ended and cannot read it any more. */
  readonly live?: string;
  /** False where it changes no more. */
  readonly followed: boolean;
  readonly mayAct: boolean;
  /** The access request, where it was the end of a grant. */
  readonly granted?: AccessRequest;
  /** What the audit log has of it, where it was searched. */
  readonly ends?: EndsInLog;
  /** While the account is locked: what the form that unlocks it needs. */
  readonly locked?: { readonly csrf: string };
}

/** Returns who was cut off, in both forms, or that it is a revocation where that is not known. */
function headingOf(receipt: RevocationReceipt, followed: boolean): Html {
  const { target, at, elapsedMs } = receipt;
  const who = accountOf(receipt) ?? target;
  if (who === undefined || target?.startsWith(GRANT) === true) return html`<h1>Revocation</h1>`;
  const name = target === 'all' ? html`Everyone` : html`<bdi>${who}</bdi>`;
  const took = html`<span data-text="took">${formatMs(elapsedMs)}</span>`;
  return html`<h1 class="clip">
    ${name} <span ${shownWhere(receipt, true)}>was cut off at ${momentSeconds(at)}, in ${took}</span>
    ${
      !receipt.complete &&
      html`<span ${shownWhere(receipt, false)}>${followed ? 'is being cut off' : 'was cut off, without a proof'}</span>`
    }
  </h1>`;
}

/** Marks what is shown where the revocation is complete, or where it is not: the script shows the other one. */
const shownWhere = ({ complete }: RevocationResult, when: boolean): Html =>
  complete === when ? html`data-complete="${String(when)}"` : html`data-complete="${String(when)}" hidden`;

/**
 * Returns the page of a receipt.
 * @param result as far as it is known now
 */
export function receiptBody(result: RevocationReceipt, view: ReceiptView): Html {
  const { live, followed, granted, ends } = view;
  const at = rfc3339(Math.floor(Date.parse(result.at) / 1000));
  const content = html`<div class="row apart page-head">
      <div>
        ${headingOf(result, followed)}
        <p class="lead">Started <time datetime="${at}">${at}</time>, receipt <code>${result.id}</code>.</p>
      </div>
      <div class="row">
        <button class="button" data-copy="as-text" hidden>Copy for the ticket</button>
        <button class="button quiet" data-print hidden>Print</button>
      </div>
    </div>
    ${verdict(result, followed)} ${figures(result)} ${replicasCard(result)}`;
  return html`${live === undefined || !followed ? content : html`<div data-live="${live}">${content}</div>`}
  ${granted !== undefined && grantCard(granted)} ${endedCard(result, ends)} ${requestCard(result)} ${copyCard(result)}
  ${nextCard(result, view)}`;
}

/** A proof takes seconds at most. After this time a replica is late, and the page is loaded again less often. */
const RECENT_MS = 15_000;

/**
 * Shows what is known of a revocation, on any replica.
 * @throws ProblemError `revocation_not_found`
 */
export async function showReceipt(context: AdminPageContext): Promise<void> {
  const { service, deps, req } = context;
  const id = String(req.params['id']);
  const result = await service.results.find(id);
  if (result === undefined) throw problemFor(ADMIN, { reason: 'revocation_not_found' });
  const account = accountOf(result);
  const [granted, ends, lock] = await Promise.all([
    grantOf(context, result),
    // Until then the page is loaded again and again.
    result.complete ? endsInLog(context, result) : undefined,
    account === undefined ? undefined : deps.store.locks.find(account as Account),
  ]);
  const nowMs = deps.clock.nowMs();
  const isRecent = nowMs - Date.parse(result.at) < RECENT_MS;
  const followed = isFollowed(result, nowMs);
  const state = result.complete ? 'complete' : followed ? 'in progress' : 'not proven';
  const live = `/admin/api/v1/revocations/${encodeURIComponent(result.id)}`;
  sendAdminPage(context, {
    title: `Revocation ${state}`,
    read: { reason: 'revocation', details: { revocation: result.id } },
    body: receiptBody(result, {
      ...defined({ granted, ends, locked: lock && { csrf: context.user.csrf } }),
      live,
      followed,
      mayAct: context.mayAct,
    }),
    ...(followed ? { scripts: ['copy.js', 'receipt.js'], refreshSeconds: isRecent ? 1 : 5 } : { scripts: ['copy.js'] }),
  });
}
