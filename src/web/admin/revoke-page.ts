/**
 * `/admin/revoke`: asks for confirmation and a reason, then revokes and leads to the receipt. A further page is for an
 * approval by a second admin.
 */
import { ADMIN } from '../../core/api/rejections.ts';
import { passed, ProblemError } from '../../http/problem.ts';
import { targetName } from '../../core/credential/revocation.ts';
import { actorText } from '../../core/delegation/delegation.ts';
import { confirmationOf } from '../../core/credential/confirmation.ts';
import { endsWithIt } from '../page/delegated-sessions.ts';
import { checkField, textField, type FieldErrors } from '../page/field.ts';
import { facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, moment } from '../page/layout.ts';
import { reasonField, FIELD_LABELS } from './form-fields.ts';
import {
  type RevocationPlan,
  type RevocationReceipt,
  type RevocationRequest,
  type RevocationScope,
  planOf,
  revocationStatus,
  scopeOf,
} from '../../services/admin/admin.ts';
import { sessionTable } from './session-table.ts';
import { countOf } from './format.ts';
import { randomUUID } from 'node:crypto';
import { field } from '../browser/guards.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { seeOther, sendPage, parameter } from '../page/response.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { freshOrRedirect, whenFresh } from './fresh-page.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import {
  adminContextAt,
  type AdminPage,
  sendAdminPage,
  type AdminHandler,
  type AdminPageContext,
} from './admin-frame.ts';
import type { StartedRevocation, StartRevocation } from './begin-revocation.ts';
import { receiptHref, revokeHref } from './links.ts';
import { secondsOf } from './locks-page.ts';
import { receiptBody } from './receipt-page.ts';
import type { Request } from 'express';
import { z } from 'zod';
import { reasonSchema, requestIdSchema } from '../../core/api/fields.ts';
import { checked } from '../../core/api/issues.ts';
import { revocationSchema } from '../../core/api/requests.ts';
import { AppError } from '../../core/errors.ts';

const TARGETS: Readonly<Record<RevocationKind, string>> = {
  session: 'the session',
  account: 'every session of the account',
  username: 'every session of',
  provider: 'every session of all users from',
  all: 'every session of all users, including your own',
};

/** The targets that can be locked: those that are one account. */
const LOCKABLE: ReadonlySet<RevocationKind> = new Set(['account', 'username']);

const targetText = ({ kind, value, lock }: RevocationFields): Html =>
  html`${TARGETS[kind]}${kind !== 'all' && html` <code>${value}</code>`}${lock && ', and lock the account'}`;

/** Returns the fields that a form passes on to the next step of the same revocation. */
const hiddenFields = (fields: RevocationFields, requestId: string, csrf: string): Html =>
  html`${csrfField(csrf)}
    <input type="hidden" name="requestId" value="${requestId}" />
    <input type="hidden" name="kind" value="${fields.kind}" />
    <input type="hidden" name="value" value="${fields.value}" />`;

/** What is typed into the form, besides the target. */
interface Given {
  readonly reason: string;
  /** What the page asks for where the revocation hits many, or the admin. */
  readonly word: string;
}

interface ConfirmPage {
  readonly fields: RevocationFields;
  readonly scope: RevocationScope;
  readonly canSignInAgain: boolean;
  /** Epoch seconds. */
  readonly now: number;
  /** Whether some revocations need two admins here. */
  readonly dualControl: boolean;
  readonly requestId: string;
  readonly confirmation: ReturnType<typeof confirmationOf>;
  /** What the admin has typed already. */
  readonly given: Given;
  readonly errors: FieldErrors;
  readonly csrf: string;
}

function scopeText({ sessions, delegated, users, more, openHere }: RevocationScope): Html {
  const many = more ? `more than ${sessions} sessions` : countOf(sessions, 'session');
  const whose = users > 1 ? ` of ${more ? 'more than ' : ''}${users} users` : '';
  const narrower = delegated === 0 ? '' : `, ${delegated} of them delegated`;
  return html`<p>
    It ends <strong>${many}${whose}</strong>${narrower}, and cuts
    <strong>${countOf(openHere, 'request or stream', 'requests and streams')}</strong>
    that ${openHere === 1 ? 'is' : 'are'} open on this replica now. Open requests on other replicas are cut as well; the
    receipt has their number.
  </p>`;
}

function scopeCard({ scope, now, fields }: ConfirmPage): Html {
  const { listed, sessions, more } = scope;
  const rest = sessions - listed.length;
  const tail = more ? `and more than ${rest} others` : `and ${countOf(rest, 'other')}`;
  const names = listed.flatMap(({ id, delegation }) =>
    delegation === undefined || id === fields.value ? [] : [actorText(delegation)],
  );
  return html`<section class="card" aria-labelledby="scope">
    <h2 id="scope">Scope</h2>
    ${scopeText(scope)}
    ${fields.kind === 'session' && endsWithIt(names, rest > 0 ? 'Delegated sessions that end with it, among others:' : 'Delegated sessions that end with it:')}
    ${
      sessions === 0
        ? html`<p class="empty">
            No user is signed in. The revocation still applies to credentials that were issued before.
          </p>`
        : listed.length > 0 && sessionTable({ sessions: listed, now, mayAct: false })
    }
    ${rest > 0 && listed.length > 0 && html`<p class="small muted">The newest ${listed.length}, ${tail}.</p>`}
  </section>`;
}

const LOCK = 'Lock the account: no one can sign in to it until an admin unlocks it';
const FORCE = 'The spelling is right: go on although nothing is known of it';

/** Returns the warning about an account of which nothing is known, before anything is done. */
const notSeen = (): Html =>
  html`<div class="notice warn" role="status">
    <p>
      <strong>Nothing is known of this account.</strong> It has no live session, no lock and no revocation of its own in
      the last thirty days. Right after a revocation of its provider or of all users that is normal. Check the spelling:
      a revocation or a lock of a mistyped account stops no one. To go on, tick the box that says so below.
    </p>
  </div>`;

const ownNotice = (canLock: boolean): Html =>
  html`<div class="notice bad">
    <p>
      <strong>This includes you.</strong> Your own session ends too: you see the receipt once, and are signed
      out.${canLock && ' With a lock you cannot sign in again, until another admin or the server’s own shell unlocks you.'}
    </p>
  </div>`;

const approvalField = (value: string): Html =>
  textField({
    name: 'approval',
    label: 'Approval',
    value,
    most: 64,
    hint: 'The id that the first admin received, where two admins are needed.',
  });

const wordField = (word: string, value: string, errors: FieldErrors): Html =>
  textField({
    name: 'word',
    label: html`Type <code><bdi>${word}</bdi></code> to confirm it`,
    value,
    required: true,
    errors,
  });

const afterwards = ({ canSignInAgain, fields }: ConfirmPage): string => {
  if (fields.kind === 'all' || fields.kind === 'provider') return 'All of them can sign in again by themselves.';
  return canSignInAgain
    ? 'They can sign in again by themselves. A lock keeps them out.'
    : 'Their next sign-in must be a fresh one. A lock keeps them out completely.';
};

/** Returns the page that asks for confirmation and a reason. What will happen is above the button. */
function confirmBody(content: ConfirmPage): Html {
  const { fields, scope, dualControl, requestId, confirmation, given, errors, csrf } = content;
  const canLock = LOCKABLE.has(fields.kind);
  return html`<h1>Revoke</h1>
    <p class="lead">You are about to end ${targetText(fields)}. All open connections are cut immediately.</p>
    ${confirmation.own && ownNotice(canLock)} ${!scope.known && notSeen()} ${scopeCard(content)}
    <section class="card" aria-labelledby="sure">
      <h2 id="sure">Confirm</h2>
      ${!fields.lock && html`<p>${afterwards(content)}</p>`}
      <form class="stack" method="post" action="/admin/revoke">
        ${hiddenFields(fields, requestId, csrf)} ${canLock && checkField('lock', LOCK, fields.lock)}
        ${!scope.known && checkField('force', FORCE, fields.force, errors)}
        ${reasonField('INC-4711', given.reason, errors)} ${dualControl && approvalField(fields.approval)}
        ${confirmation.word !== undefined && wordField(confirmation.word, given.word, errors)}
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
  /** The URL where another admin approves it. */
  readonly link: string;
}

/** Returns the page for the first of two admins. Nothing was done yet. */
function secondAdminBody({ fields, reason, approval, expiresAt, link }: SecondAdminPage): Html {
  return html`<h1>A second admin is needed</h1>
    <div class="notice warn" role="status">
      <p>
        <strong>Nothing was done yet.</strong> This needs two admins: ask another admin to send the same revocation,
        with the approval below.
      </p>
    </div>
    <section class="card" aria-labelledby="approval">
      <h2 id="approval">Approval</h2>
      ${facts([
        ['Id', html`<code>${approval}</code>`],
        ['For', ['Ending ', targetText(fields)]],
        ['Your reason', reason],
        ['Expires', moment(expiresAt)],
      ])}
      <h3>What the other admin does</h3>
      <p>They open this link, check the revocation, and give their own reason:</p>
      <pre class="commands">${link}</pre>
      <p class="small muted">
        On the command line they add <code>--approval ${approval}</code>. You cannot approve it yourself.
      </p>
      <a class="button" href="/admin">Back to all sessions</a>
    </section>`;
}

/** What stands for a reason that is not known yet, or is none. */
const NO_REASON = 'not given yet';

/** Asks for confirmation and a reason. A link in each session's row leads here. */
export async function showConfirmation(context: AdminPageContext): Promise<void> {
  const { deps, req, res, user } = context;
  const fields = linkFields(req);
  const request = requestOf(fields, { reason: NO_REASON });
  if (!freshOrRedirect(deps, req, res, user)) return;
  const plan = passed(ADMIN, await planOf(deps, request));
  const read = { reason: 'sessions', details: { target: targetName(plan.target) } };
  await sendConfirmation(context, { fields, request, plan, given: { reason: '', word: '' } }, { read });
}

interface Asked {
  readonly fields: RevocationFields;
  readonly request: RevocationRequest;
  readonly plan: RevocationPlan;
  readonly given: Given;
  readonly errors?: FieldErrors;
}

async function sendConfirmation(
  context: AdminPageContext,
  { plan, request, errors = {}, ...asked }: Asked,
  page: Pick<AdminPage, 'status' | 'read'>,
): Promise<void> {
  const { deps, user } = context;
  const body = confirmBody({
    ...asked,
    errors,
    confirmation: confirmationFor(context, named(request, plan)),
    scope: await scopeOf(deps, plan.target),
    now: nowSeconds(deps),
    canSignInAgain: plan.canSignInAgain,
    dualControl: deps.config.admin.dualControl === 'on',
    requestId: randomUUID(),
    csrf: user.csrf,
  });
  sendAdminPage(context, { title: 'Revoke', ...page, body });
}

const confirmationFor = ({ user }: AdminPageContext, request: RevocationRequest): ReturnType<typeof confirmationOf> =>
  confirmationOf(request, { account: user.account, username: user.identity.username, sessionId: user.session });

/** A user may have had other names: who a username means is known by its account alone. */
const named = (request: RevocationRequest, { target }: Pick<RevocationPlan, 'target'>): RevocationRequest =>
  request.username !== undefined && target.kind === 'account' ? { ...request, account: target.account } : request;

/** Returns what is wrong with what was typed. */
async function errorsIn(context: AdminPageContext, request: RevocationRequest, given: Given): Promise<FieldErrors> {
  const plan = request.username === undefined ? undefined : await planOf(context.deps, request);
  const { word } = confirmationFor(context, plan?.ok === true ? named(request, plan.value) : request);
  return {
    ...(!reasonSchema.safeParse(given.reason).success && { reason: REASON_NEEDED }),
    ...(word !== undefined && given.word !== word.trim() && { word: WORD_NEEDED }),
  };
}

/** Runs the revocation and leads to its receipt. */
export function handleRevoke(begin: StartRevocation): AdminHandler {
  return async (context) => {
    const { req } = context;
    const fields = formFields(req);
    const requestId = requestIdOf(req);
    const given = { reason: field(req, 'reason'), word: field(req, 'word') };
    const reason = reasonSchema.safeParse(given.reason).data;
    const request = { ...requestOf(fields, { reason: reason ?? NO_REASON, requestId }), requestId };
    const asked = { fields, request, given };
    await whenFresh(context, revokeHref(fields), async () => {
      const errors = await errorsIn(context, request, given);
      const [wrong] = Object.values(errors);
      if (wrong !== undefined) {
        const cause = reason === undefined ? 'revocation_malformed' : 'not_confirmed';
        const error = new AppError('bad_request', wrong, { reason: cause });
        return askAgain(context, { ...asked, errors }, error);
      }
      try {
        await redirectToReceipt(context, await begin(adminContextAt(context), request));
      } catch (thrown) {
        if (!(thrown instanceof ProblemError)) throw thrown;
        if (thrown.problem === 'account_not_seen') {
          return askAgain(context, { ...asked, errors: { force: NOT_FORCED } }, thrown);
        }
        if (thrown.problem === 'second_admin_needed') return showApproval(context, fields, request.reason, thrown);
        throw thrown;
      }
    });
  };
}

const REASON_NEEDED = 'Nothing was done: give a reason of at most 500 characters.';
const WORD_NEEDED = 'Nothing was done: type exactly what stands above this field.';
const NOT_FORCED = 'Nothing was done: tick this box, or check the spelling.';

/** Shows the form again, with all that was typed and what is wrong with it. Nothing was done. */
async function askAgain(context: AdminPageContext, asked: Omit<Asked, 'plan'>, error: AppError): Promise<void> {
  const { deps, req } = context;
  const { status } = appErrorOf(error);
  const plan = passed(ADMIN, await planOf(deps, asked.request));
  record(deps, contextOf(req), { event: 'revocation', path: req.path, code: status, reason: error.reason });
  await sendConfirmation(context, { ...asked, plan }, { status });
}

function isValid({ user }: AdminPageContext): boolean {
  try {
    user.assertValid();
    return true;
  } catch {
    return false;
  }
}

/**
 * Leads to the receipt. An admin who has revoked their own session could not open it, so they get it as the
 * response.
 */
async function redirectToReceipt(context: AdminPageContext, { result, proven }: StartedRevocation): Promise<void> {
  if (isValid(context)) seeOther(context.res, receiptHref(result.id));
  else sendLastReceipt(context, await proven);
}

function sendLastReceipt({ res }: AdminPageContext, result: RevocationReceipt): void {
  const body = html`<p class="notice">
      You have revoked your own session with it. <a href="/login?to=admin">Sign in again</a> to continue.
    </p>
    ${receiptBody(result, { followed: !result.complete, mayAct: false, ...(result.lock === true && { locked: { csrf: '' } }) })}`;
  sendPage(res, revocationStatus(result), { title: 'Revocation', body, styles: ['admin.css'], scripts: ['copy.js'] });
}

function showApproval(
  { deps, ...context }: AdminPageContext,
  fields: RevocationFields,
  reason: string,
  error: ProblemError,
): void {
  const { approval = '', expiresAt = '' } = error.members;
  const link = new URL(revokeHref({ ...fields, approval }), deps.config.publicUrl).href;
  const body = secondAdminBody({ fields, reason, approval, expiresAt: secondsOf(expiresAt), link });
  const { status } = appErrorOf(error);
  sendAdminPage({ deps, ...context }, { title: 'A second admin is needed', status, body });
}

/**
 * The fields of the form or link of a revocation, which become a request of the admin API.
 */
const kindSchema = z.enum(['session', 'account', 'username', 'provider', 'all']);

type RevocationKind = z.output<typeof kindSchema>;

/** The fields that a page passes from one step to the next. */
interface RevocationFields {
  readonly kind: RevocationKind;
  /** Empty for everyone. */
  readonly value: string;
  readonly lock: boolean;
  /** The id that the first of two admins received; empty for none. */
  readonly approval: string;
  /** Locks an account of which nothing is known, too. */
  readonly force: boolean;
}

const malformed = (message: string): AppError =>
  new AppError('bad_request', `That cannot be revoked. ${message}.`, { reason: 'revocation_malformed' });

function fieldsFrom(valueOf: (name: string) => string): RevocationFields {
  const kind = kindSchema.safeParse(valueOf('kind'));
  if (!kind.success) throw malformed('Choose what to revoke');
  const value = kind.data === 'all' ? '' : valueOf('value');
  const [lock, force] = [valueOf('lock') === 'on', valueOf('force') === 'on'];
  return { kind: kind.data, value, lock, approval: valueOf('approval'), force };
}

/** Returns the fields of a link. @throws AppError `bad_request` */
const linkFields = (req: Request): RevocationFields => fieldsFrom((name) => parameter(req.query[name])?.trim() ?? '');

/** Returns the fields of a form. @throws AppError `bad_request` */
const formFields = (req: Request): RevocationFields => fieldsFrom((name) => field(req, name));

/**
 * Returns the request of the admin API.
 * @throws AppError `bad_request` that says what is wrong, without repeating a value
 */
function requestOf(
  { kind, value, lock, approval, force }: RevocationFields,
  given: { readonly reason: string; readonly requestId?: string },
): RevocationRequest {
  const named = kind === 'all' ? true : value;
  const rest = { ...given, ...(lock && { lock }), ...(force && { force }), ...(approval !== '' && { approval }) };
  const result = checked(revocationSchema, { [kind]: named, ...rest }, FIELD_LABELS);
  if (result.ok) return result.value;
  throw malformed(result.reason);
}

/** Returns the id that makes two clicks one revocation. @throws AppError `bad_request` */
function requestIdOf(req: Request): string {
  const id = requestIdSchema.safeParse(field(req, 'requestId'));
  if (!id.success) throw malformed('The form has no request id. Open the page again');
  return id.data;
}
