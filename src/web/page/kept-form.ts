/**
 * A form that could not be handled, for the page that says so: what was typed must not be lost because a sign-in is too
 * old, a session is over or the store is unavailable. The page has all of it, and a button that sends it again.
 *
 * Nothing is kept at the server, and nothing is sent by a GET. An attacker, or a colleague at the same browser, leaves a
 * form for the next user to send: so it has a CSRF token of the session that sent it, or proves that it belongs to the
 * same account in the same browser.
 */
import type { Request } from 'express';
import { reasonSchema } from '../../core/api/fields.ts';
import type { AppError } from '../../core/errors.ts';
import { ProblemError } from '../../http/problem.ts';
import { facts } from './card.ts';
import { textField } from './field.ts';
import { html, type Html } from './html.ts';
import { csrfField } from './layout.ts';

/** What makes the form good when it is sent again. Neither of both: it can only be read. */
interface Proof {
  /** Of the session that sent it. */
  readonly csrf?: string;
  /** Of its account and the browser, for the session that is signed in next. */
  readonly ticket?: () => string;
}

interface KeptForm {
  readonly fields: ReadonlyMap<string, string>;
  readonly proof: Proof;
  /** True once it may have been done. */
  readonly begun: boolean;
}

/** Characters: more than the fields of any form of ours take, and a page of a few kilobytes. */
const MOST_KEPT = 4096;

const kept = new WeakMap<Request, KeptForm>();

/** Keeps the parsed form of a request for as long as the request lives. */
export function keepForm(req: Request, proof: Proof, begun = false): void {
  const body: unknown = req.body;
  if (typeof body !== 'object' || body === null) return;
  const fields = Object.entries(body).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  if (fields.reduce((sum, [, value]) => sum + value.length, 0) > MOST_KEPT) return;
  kept.set(req, { fields: new Map(fields), proof, begun });
}

/** What a form says that it does, apart from what is typed into it. */
const SHOWN: Readonly<Record<string, string>> = {
  kind: 'Ends',
  value: 'Name',
  account: 'Account',
  lock: 'Lock',
  approval: 'Approval',
  auditId: 'Stream',
  cluster: 'Cluster',
  path: 'Watch path',
  role: 'Role',
};

const TYPED: ReadonlySet<string> = new Set(['csrf', 'ticket', 'reason', 'word']);

function outcomeOf({ path }: Request, { begun }: KeptForm, { error, status }: Failed): string {
  const done = path === '/admin/revoke' ? 'revoked' : 'changed';
  if (!begun || status < 500) return `Nothing was ${done}.`;
  if (error instanceof ProblemError && error.members['heldUntil'] !== undefined) return 'Nothing was written.';
  return `It is not known whether anything was ${done}. It is not done twice where you send it again.`;
}

function sendAgain(req: Request, { fields, proof }: KeptForm, signIn: string | undefined, error?: string): Html {
  const hidden = [...fields].filter(([name]) => !TYPED.has(name));
  const word = fields.get('word');
  return html`<form class="stack" method="post" action="${req.path}">
    ${csrfField(proof.csrf ?? '')}
    ${proof.ticket && html`<input type="hidden" name="ticket" value="${proof.ticket()}" />`}
    ${hidden.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
    ${textField({ name: 'reason', label: 'Reason', value: fields.get('reason') ?? '', most: 500, prose: true, errors: error === undefined ? {} : { reason: error } })}
    ${word !== undefined && textField({ name: 'word', label: 'Typed to confirm it', value: word })}
    <div class="row">
      ${signIn !== undefined && html`<a class="button" href="${signIn}" target="_blank" rel="noopener">Sign in again (opens a tab)</a>`}
      <button class="button ${signIn === undefined ? 'danger' : 'quiet'}">Send it again</button>
    </div>
  </form>`;
}

/** What to do next, where the card is on the page. */
export const KEPT = 'What you typed is kept below.';

interface Failed {
  readonly error: Pick<AppError, 'code' | 'message'>;
  readonly status: number;
  /** Where the user signs in again, before it can be sent. */
  readonly signIn?: string | undefined;
}

/** Returns the card with what was typed; nothing where the request has no such form, or sending it again is no use. */
export function keptCard(req: Request, failed: Failed): Html | undefined {
  const { error, status, signIn } = failed;
  const form = kept.get(req);
  if (form?.fields.has('reason') !== true) return undefined;
  const { fields, proof } = form;
  const isReason = error.code === 'bad_request' && !reasonSchema.safeParse(fields.get('reason')).success;
  const canSend = proof.csrf !== undefined || proof.ticket !== undefined;
  if (canSend && !isReason && status < 500 && status !== 401) return undefined;
  const shown = Object.entries(SHOWN).flatMap(([name, label]) => {
    const value = fields.get(name) ?? '';
    return value === '' ? [] : [[label, html`<bdi>${value}</bdi>`] as const];
  });
  const typed = canSend ? [] : ([['Reason', html`<bdi>${fields.get('reason')}</bdi>`]] as const);
  return html`<section class="card" aria-labelledby="kept">
    <h2 id="kept">${canSend ? 'Send it again' : 'What you typed'}</h2>
    <p>
      <strong>${outcomeOf(req, form, failed)}</strong>
      ${signIn !== undefined && 'Sign in in the other tab, then come back to this one: what you typed is still here.'}
      ${!canSend && 'It was not sent under your name, because this page is of another sign-in. Copy what you need.'}
    </p>
    ${facts([...shown, ...typed])} ${canSend && sendAgain(req, form, signIn, isReason ? error.message : undefined)}
  </section>`;
}
