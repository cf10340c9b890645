/** The admin's own words, which every change is recorded with. */
import { html, type Html } from '../page/html.ts';
import { csrfField } from '../page/layout.ts';

interface SelectField {
  /** Also its id. */
  readonly name: string;
  readonly label: string;
  /** Value and words of each. */
  readonly options: readonly (readonly [value: string, words: string])[];
  /** What the URL says, which need not be among them: it is then offered too, so that nothing is lost by sending the form. */
  readonly chosen: string | undefined;
}

function option([value, words]: readonly [string, string], chosen: string): Html {
  return value === chosen
    ? html`<option value="${value}" selected>${words}</option>`
    : html`<option value="${value}">${words}</option>`;
}

export function selectField({ name, label, options, chosen = '' }: SelectField): Html {
  const isOffered = chosen === '' || options.some(([value]) => value === chosen);
  const all = isOffered ? options : [...options, [chosen, chosen] as const];
  return html`<div class="field">
    <label for="${name}">${label}</label>
    <select id="${name}" name="${name}">
      ${all.map((one) => option(one, chosen))}
    </select>
  </div>`;
}

/** @param example what such a reason looks like */
export const reasonField = (example: string): Html =>
  html`<div class="field">
    <label for="reason">Reason, for the record</label>
    <input type="text" id="reason" name="reason" required maxlength="500" autocomplete="off" placeholder="${example}" />
  </div>`;

/** Where an unlocking leads back to. */
type UnlockFrom = 'locks' | 'person';

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
