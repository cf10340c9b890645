/**
 * `/admin/revoke`: asks once more, then does it and leads to the receipt.
 */
import { html, type Html } from '../page/html.ts';
import { csrfField, moment } from '../page/layout.ts';
import { reasonField } from './form-fields.ts';
import {
  type RevocationFields,
  type RevocationKind,
  formFields,
  linkFields,
  requestIdOf,
  requestOf,
} from './revocation-fields.ts';
import { type RevocationScope, scopeOf } from './revocation-scope.ts';
import { sessionTable } from './session-table.ts';
import { counted } from './format.ts';
import { randomUUID } from 'node:crypto';
import type { RevocationResult } from '../../revocation/revocation.ts';
import { field } from '../browser/guards.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { seeOther, sendPage } from '../page/response.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { freshOrRedirect, ifFresh } from './fresh-page.ts';
import { AdminError } from '../../admin/problem.ts';
import { planOf, targetName } from '../../admin/revocation-request.ts';
import { revocationStatus } from '../../admin/revoke.ts';
import { adminContextAt, auditRead, sendAdminPage, type AdminHandler, type AdminPageContext } from './admin-frame.ts';
import type { Begun, BeginRevocation } from './begin-revocation.ts';
import { receiptHref, revokeHref } from './links.ts';
import { secondsOf } from './locks-page.ts';
import { receiptBody } from './receipt-page.ts';

const TARGETS: Readonly<Record<RevocationKind, string>> = {
  session: 'the session',
  account: 'every session of the account',
  username: 'every session of',
  provider: 'every session of everybody from',
  all: 'every session of everybody, your own too',
};

/** The targets that a lock goes with: those that are one account. */
const LOCKABLE: ReadonlySet<RevocationKind> = new Set(['account', 'username']);

const targetWords = ({ kind, value, lock }: RevocationFields): Html =>
  html`${TARGETS[kind]} ${kind !== 'all' && html`<code>${value}</code>`}${lock && ', and lock the account'}`;

/** What two steps of the same revocation have in common. */
const hiddenFields = (fields: RevocationFields, requestId: string, csrf: string): Html =>
  html`${csrfField(csrf)}
    <input type="hidden" name="requestId" value="${requestId}" />
    <input type="hidden" name="kind" value="${fields.kind}" />
    <input type="hidden" name="value" value="${fields.value}" />`;

interface ConfirmPage {
  readonly fields: RevocationFields;
  readonly scope: RevocationScope;
  readonly canSignInAgain: boolean;
  /** Epoch seconds. */
  readonly now: number;
  /** Whether some revocations take two admins here. */
  readonly dualControl: boolean;
  readonly requestId: string;
  readonly csrf: string;
}

function scopeWords({ sessions, people, more, openHere }: RevocationScope): Html {
  const many = more ? `more than ${sessions} sessions` : counted(sessions, 'session');
  const whose = people > 1 ? ` of ${more ? 'more than ' : ''}${people} people` : '';
  return html`<p>
    That is <strong>${many}${whose}</strong>, and
    <strong>${counted(openHere, 'request or stream', 'requests and streams')}</strong>
    open on this replica right now. What is open on other replicas is cut as well; each says in its receipt how many
    that were.
  </p>`;
}

function scopeCard({ scope, now }: ConfirmPage): Html {
  const { listed, sessions, more } = scope;
  const rest = sessions - listed.length;
  const tail = more ? `and more than ${rest} others` : `and ${counted(rest, 'other')}`;
  return html`<section class="card" aria-labelledby="scope">
    <h2 id="scope">What it cuts</h2>
    ${scopeWords(scope)}
    ${
      listed.length === 0
        ? html`<p class="empty">
            Nobody is signed in. The revocation still stands against credentials that are out there.
          </p>`
        : sessionTable({ sessions: listed, now, mayAct: false })
    }
    ${rest > 0 && html`<p class="small muted">The newest ${listed.length}, ${tail}.</p>`}
  </section>`;
}

function lockBox(lock: boolean): Html {
  const box = lock
    ? html`<input type="checkbox" name="lock" value="on" checked />`
    : html`<input type="checkbox" name="lock" value="on" />`;
  return html`<div class="field">
    <label class="check">${box} <span>Lock the account: nobody signs in to it until an admin unlocks it</span></label>
  </div>`;
}

const approvalField = (approval: string): Html =>
  html`<div class="field">
    <label for="approval">Approval</label>
    <input
      type="text"
      id="approval"
      name="approval"
      value="${approval}"
      maxlength="64"
      autocomplete="off"
      spellcheck="false"
      aria-describedby="approval-hint"
    />
    <p class="hint" id="approval-hint">The id that the first admin was given, where it takes two.</p>
  </div>`;

const afterwards = ({ canSignInAgain, fields }: ConfirmPage): string => {
  if (fields.kind === 'all' || fields.kind === 'provider') return 'Everybody can sign in again by themselves.';
  return canSignInAgain
    ? 'They can sign in again by themselves. A lock keeps them out.'
    : 'To sign in again they have to prove anew who they are. A lock keeps them out altogether.';
};

/** Asks for the reason; what is about to happen stands above the button. */
function confirmBody(content: ConfirmPage): Html {
  const { fields, dualControl, requestId, csrf } = content;
  return html`<h1>Revoke</h1>
    <p class="lead">You are about to end ${targetWords(fields)}. Whatever they have open is cut at once.</p>
    ${scopeCard(content)}
    <section class="card" aria-labelledby="sure">
      <h2 id="sure">Revoke it?</h2>
      ${!fields.lock && html`<p>${afterwards(content)}</p>`}
      <form class="stack" method="post" action="/admin/revoke">
        ${hiddenFields(fields, requestId, csrf)} ${LOCKABLE.has(fields.kind) && lockBox(fields.lock)}
        ${reasonField('INC-4711')} ${dualControl && approvalField(fields.approval)}
        <div class="row">
          <button class="button danger">Revoke now</button>
          <a class="button quiet" href="/admin">Cancel</a>
        </div>
      </form>
    </section>`;
}

interface SecondAdminPage {
  readonly fields: RevocationFields;
  readonly reason: string;
  readonly approval: string;
  /** Epoch seconds. */
  readonly expiresAt: number;
  /** Where another admin does it, with our own host. */
  readonly link: string;
}

/** Nothing was done yet. */
function secondAdminBody({ fields, reason, approval, expiresAt, link }: SecondAdminPage): Html {
  return html`<h1>A second admin is needed</h1>
    <div class="notice warn" role="status">
      <p>
        <strong>Nothing was done yet.</strong> This takes two admins: ask another one to do the same, with the approval
        below.
      </p>
    </div>
    <section class="card" aria-labelledby="approval">
      <h2 id="approval">Approval</h2>
      <dl class="facts">
        <dt>Id</dt>
        <dd><code>${approval}</code></dd>
        <dt>For</dt>
        <dd>Ending ${targetWords(fields)}</dd>
        <dt>Your reason</dt>
        <dd>${reason}</dd>
        <dt>Until</dt>
        <dd>${moment(expiresAt)}</dd>
      </dl>
      <h3>What the other admin does</h3>
      <p>They open this page, check what it says, and give their own reason:</p>
      <pre class="commands">${link}</pre>
      <p class="small muted">
        With the command line they add <code>--approval ${approval}</code>. You cannot approve it yourself.
      </p>
      <a class="button" href="/admin">Back to all sessions</a>
    </section>`;
}

interface AgainPage {
  readonly fields: RevocationFields;
  readonly reason: string;
  readonly requestId: string;
  readonly csrf: string;
  readonly words: string;
}

/** The same request again: with the same id it is the same revocation, should the first one have been written after all. */
function sendAgainBody({ fields, reason, requestId, csrf, words }: AgainPage): Html {
  return html`<h1>Not written</h1>
    <div class="notice bad" role="alert"><p>${words}</p></div>
    <section class="card" aria-labelledby="again">
      <h2 id="again">Send it again</h2>
      <p>It would end ${targetWords(fields)}. It is the same revocation, however often it is sent.</p>
      <form class="row" method="post" action="/admin/revoke">
        ${hiddenFields(fields, requestId, csrf)}
        <input type="hidden" name="lock" value="${fields.lock ? 'on' : ''}" />
        <input type="hidden" name="approval" value="${fields.approval}" />
        <input type="hidden" name="reason" value="${reason}" />
        <button class="button danger">Send it again</button>
        <a class="button quiet" href="/admin">Give up</a>
      </form>
    </section>`;
}

/** Asks once more, with the reason; a link leads here from each session's row. */
export async function confirm(context: AdminPageContext): Promise<void> {
  const { deps, req, res, person } = context;
  const fields = linkFields(req);
  const request = requestOf(fields, { reason: 'not given yet' });
  if (!freshOrRedirect(deps, req, res, person)) return;
  const plan = await planOf(deps, request);
  const scope = await scopeOf(deps, plan.target);
  auditRead(context, 'sessions', { target: targetName(plan.target) });
  const body = confirmBody({
    fields,
    scope,
    now: nowSeconds(deps),
    canSignInAgain: plan.canSignInAgain,
    dualControl: deps.config.admin.dualControl === 'on',
    requestId: randomUUID(),
    csrf: person.csrf,
  });
  sendAdminPage(context, { title: 'Revoke', section: 'sessions', body });
}

/** Does it. */
export function revokeNow(begin: BeginRevocation): AdminHandler {
  return async (context) => {
    const { req } = context;
    const fields = formFields(req);
    const requestId = requestIdOf(req);
    const reason = field(req, 'reason');
    const request = { ...requestOf(fields, { reason, requestId }), requestId };
    await ifFresh(context, revokeHref(fields), async () => {
      try {
        await leadToReceipt(context, await begin(adminContextAt(context), request));
      } catch (thrown) {
        if (!(thrown instanceof AdminError)) throw thrown;
        if (thrown.problem === 'second_admin_needed') return askSecond(context, fields, reason, thrown);
        // This replica refuses the target all the same: who has ended their own session has no page any more.
        if (thrown.problem !== 'revocation_not_written' || !isGood(context)) throw thrown;
        offerAgain(context, fields, { reason, requestId }, thrown);
      }
    });
  };
}

function isGood({ person }: AdminPageContext): boolean {
  try {
    person.assertValid();
    return true;
  } catch {
    return false;
  }
}

/** Whoever has ended their own session, by what they revoked, could not open the receipt any more. */
async function leadToReceipt(context: AdminPageContext, { answer, proven }: Begun): Promise<void> {
  if (isGood(context)) seeOther(context.res, receiptHref(answer.id));
  else sendLastReceipt(context, await proven);
}

function sendLastReceipt({ res }: AdminPageContext, answer: RevocationResult): void {
  const body = html`<p class="notice">
      You have ended your own session with it. <a href="/login?to=admin">Sign in again</a> to go on.
    </p>
    ${receiptBody(answer, undefined, false)}`;
  sendPage(res, revocationStatus(answer), { title: 'Revocation', body, styles: ['admin.css'] });
}

function askSecond(
  { deps, ...context }: AdminPageContext,
  fields: RevocationFields,
  reason: string,
  error: AdminError,
): void {
  const { approval = '', expiresAt = '' } = error.members;
  const link = new URL(revokeHref({ ...fields, approval }), deps.config.publicUrl).href;
  const body = secondAdminBody({ fields, reason, approval, expiresAt: secondsOf(expiresAt), link });
  const { status } = appErrorOf(error);
  sendAdminPage({ deps, ...context }, { title: 'A second admin is needed', section: 'sessions', status, body });
}

function offerAgain(
  context: AdminPageContext,
  fields: RevocationFields,
  said: { readonly reason: string; readonly requestId: string },
  error: AdminError,
): void {
  const { status } = appErrorOf(error);
  const body = sendAgainBody({ fields, ...said, csrf: context.person.csrf, words: error.message });
  sendAdminPage(context, { title: 'Not written', section: 'sessions', status, body });
}
