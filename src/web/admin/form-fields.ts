/** Form fields of the admin pages, and the small form that asks for a reason. */
import { textField, type FieldErrors } from '../page/field.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField } from '../page/layout.ts';

/** What the pages call the fields of the API, for messages about them. */
export const FIELD_LABELS = {
  session: 'Session id',
  account: 'Account',
  username: 'Username',
  provider: 'Provider',
  reason: 'Reason',
  approval: 'Approval',
  cluster: 'Cluster',
  path: 'Watch path',
} as const;

interface SelectField {
  /** Also the id of the element. */
  readonly name: string;
  readonly label: string;
  /** The value and the label of each option. */
  readonly options: readonly (readonly [value: string, label: string])[];
  /**
   * The value in the URL. If it is not among the options it is offered too, so that sending the form does not lose
   * it.
   */
  readonly chosen: string | undefined;
}

function option([value, label]: readonly [string, string], chosen: string): Html {
  return value === chosen
    ? html`<option value="${value}" selected>${label}</option>`
    : html`<option value="${value}">${label}</option>`;
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

interface SearchField {
  /** Also the id of the element. */
  readonly name: string;
  readonly label: string;
  readonly value: string | undefined;
  readonly placeholder?: string;
  /** Characters. Absent: as many as an account may have. */
  readonly most?: number;
  /** True: it takes the space that others leave. */
  readonly wide?: boolean;
  /** Characters that it shows, where it is a small one. */
  readonly size?: number;
}

/** Returns the field of a filter, whose form says once that the browser suggests and corrects nothing. */
export function searchField({
  name,
  label,
  value = '',
  placeholder,
  most = 512,
  wide = false,
  size,
}: SearchField): Html {
  return html`<div class="${wide ? 'field search' : 'field'}">
    <label for="${name}">${label}</label>
    <input
      type="search"
      id="${name}"
      name="${name}"
      value="${value}"
      maxlength="${most}"
      ${placeholder !== undefined && html`placeholder="${placeholder}"`}
      ${size !== undefined && html`size="${size}"`}
    />
  </div>`;
}

/**
 * Returns the field for the reason of a change, which is audited.
 * @param placeholder an example of such a reason
 * @param value the reason that the admin has typed already
 */
export const reasonField = (placeholder: string, value = '', errors: FieldErrors = {}): Html =>
  textField({
    name: 'reason',
    label: 'Reason, for the audit log',
    value,
    required: true,
    most: 500,
    placeholder,
    prose: true,
    errors,
  });

/** The page that the unlock form is on, and that the response leads back to: the locks page or the user page. */
type UnlockOrigin = 'locks' | 'person';

/** Returns the form that asks for a reason and unlocks an account. */
export const unlockForm = (account: string, csrf: string, from: UnlockOrigin): Html =>
  reasonForm('/admin/unlock', { account, csrf, from, button: 'Unlock', label: 'Reason for unlocking' });

interface ReasonForm {
  readonly csrf: string;
  readonly button: string;
  readonly label: string;
  readonly account: string;
  /** The other fields of the form. */
  readonly [name: string]: string;
}

/** Returns a form with a button that changes something of an account, and a field for the reason. */
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
