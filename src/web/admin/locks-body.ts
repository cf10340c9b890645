/**
 * The markup of the locks' page.
 */
import { html, type Html } from '../page/html.ts';
import { csrfField, moment, momentsCaption } from '../page/layout.ts';
import type { LockView } from '../../admin/locks.ts';
import { accountHref } from './links.ts';
import { counted } from './format.ts';

/** Where an unlocking leads back to. */
export type UnlockFrom = 'locks' | 'person';

/** Asks for the reason and takes the lock off. */
export const unlockForm = (account: string, csrf: string, from: UnlockFrom): Html =>
  reasonForm('/admin/unlock', { account, csrf, from, button: 'Unlock', label: 'Reason for unlocking' });

interface ReasonForm {
  readonly csrf: string;
  readonly button: string;
  readonly label: string;
  readonly account: string;
  /** Other fields of the form. */
  readonly [name: string]: string;
}

/** A button that does something about an account, and asks why. */
export const reasonForm = (action: string, { csrf, button, label, ...fields }: ReasonForm): Html =>
  html`<form class="inline" method="post" action="${action}">
    ${csrfField(csrf)}
    ${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
    <input
      type="text"
      name="reason"
      required
      maxlength="500"
      autocomplete="off"
      placeholder="Reason"
      aria-label="${label} ${fields.account}"
    />
    <button class="button quiet compact" aria-label="${button} ${fields.account}">${button}</button>
  </form>`;

export const secondsOf = (rfc3339: string): number => Math.floor(Date.parse(rfc3339) / 1000);

const lockRow = ({ account, reason, by, at }: LockView, csrf: string, mayAct: boolean): Html =>
  html`<tr>
    <td class="main" data-label="Account"><a href="${accountHref(account)}">${account}</a></td>
    <td data-label="Why">${reason}</td>
    <td data-label="By">${by}</td>
    <td data-label="Since">${moment(secondsOf(at))}</td>
    ${mayAct && html`<td data-label="" class="action">${unlockForm(account, csrf, 'locks')}</td>`}
  </tr>`;

const locksTable = (locks: readonly LockView[], csrf: string, mayAct: boolean): Html =>
  html`<table>
    ${momentsCaption()}
    <thead>
      <tr>
        <th scope="col">Account</th>
        <th scope="col">Why</th>
        <th scope="col">By</th>
        <th scope="col">Since</th>
        ${mayAct && html`<th scope="col"><span class="visually-hidden">Unlock</span></th>`}
      </tr>
    </thead>
    <tbody>
      ${locks.map((lock) => lockRow(lock, csrf, mayAct))}
    </tbody>
  </table>`;

const lockForm = (): Html =>
  html`<section class="card" aria-labelledby="lock">
    <h2 id="lock">Lock an account</h2>
    <p class="muted">
      Whatever the person has open is cut, and nobody signs in to the account until an admin unlocks it.
    </p>
    <form class="filters" method="get" action="/admin/revoke">
      <input type="hidden" name="kind" value="account" />
      <input type="hidden" name="lock" value="on" />
      <div class="field search">
        <label for="value">Account, as PROVIDER/SUBJECT</label>
        <input type="text" id="value" name="value" required maxlength="512" autocomplete="off" spellcheck="false" />
      </div>
      <button class="button danger">Continue</button>
    </form>
  </section>`;

interface LocksPage {
  /** Of this page. */
  readonly locks: readonly LockView[];
  readonly count: number;
  readonly pager: Html;
  readonly mayAct: boolean;
  readonly csrf: string;
}

export function locksBody({ locks, count, pager, mayAct, csrf }: LocksPage): Html {
  return html`<h1>Locks</h1>
    <p class="lead">
      ${count === 0 ? 'No account is locked.' : `${counted(count, 'account is', 'accounts are')} locked. Newest first.`}
    </p>
    ${count > 0 && html`<section class="card" aria-label="Locked accounts">${locksTable(locks, csrf, mayAct)} ${pager}</section>`}
    ${mayAct && lockForm()}`;
}
