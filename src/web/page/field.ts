/** Fields of forms, each with its label and, where it was filled in wrongly, with what is wrong. */
import { html, type Html, type HtmlValue } from './html.ts';

/** What is wrong, by the name of the field, in the order of the form. */
export type FieldErrors = Readonly<Partial<Record<string, string>>>;

/**
 * Ties hint and error to a field, for screen readers too, and puts the caret into the first wrong field.
 * @returns what stands in the tag of the field, and what stands below it
 */
export function tied(
  { name, id = name, hint }: { readonly name: string; readonly id?: string; readonly hint?: HtmlValue },
  errors: FieldErrors = {},
): readonly [attributes: Html, texts: Html] {
  const error = errors[name];
  const [first] = Object.keys(errors);
  const ids = [error !== undefined && `${id}-error`, hint !== undefined && hint !== false && `${id}-hint`];
  const described = ids.filter((one) => one !== false).join(' ');
  return [
    html`${described !== '' && html` aria-describedby="${described}"`}${error !== undefined && html` aria-invalid="true"`}${first === name && html` autofocus`}`,
    html`${error !== undefined && html`<p class="error" id="${id}-error">${error}</p>`}
    ${hint !== undefined && hint !== false && html`<p class="hint" id="${id}-hint">${hint}</p>`}`,
  ];
}

/** Characters that are shown again. A browser sends no more than `most`, so a client that does has no text to lose. */
const MOST_SHOWN = 2000;

interface TextField {
  readonly name: string;
  /** Default: the name. A page with several forms has several. */
  readonly id?: string;
  readonly label: HtmlValue;
  readonly value?: string;
  readonly required?: boolean;
  /** Characters. */
  readonly most?: number;
  readonly placeholder?: string;
  /** False for names and ids, in which the browser corrects nothing. */
  readonly prose?: boolean;
  readonly hint?: HtmlValue;
  readonly errors?: FieldErrors;
  readonly wide?: boolean;
}

export function textField(field: TextField): Html {
  const { name, id = name, label, value = '', required = false, most = 512, placeholder, prose = false } = field;
  const [attributes, texts] = tied(field, field.errors);
  return html`<div class="${field.wide === true ? 'field search' : 'field'}">
    <label for="${id}">${label}</label>
    <input
      type="text"
      id="${id}"
      name="${name}"
      value="${value.slice(0, MOST_SHOWN)}"
      ${required && html`required`}
      maxlength="${most}"
      autocomplete="off"
      ${!prose && html`spellcheck="false" autocapitalize="none"`}
      ${placeholder !== undefined && html`placeholder="${placeholder}"`}${attributes}
    />
    ${texts}
  </div>`;
}

export const checkBox = (name: string, value: string, label: HtmlValue, checked: boolean, attributes?: Html): Html =>
  html`<label class="check"
    ><input type="checkbox" name="${name}" value="${value}" ${checked && html`checked`}${attributes} />
    <span>${label}</span></label
  >`;

export function checkField(name: string, label: HtmlValue, checked: boolean, errors: FieldErrors = {}): Html {
  const [attributes, texts] = tied({ name }, errors);
  return html`<div class="field">${checkBox(name, 'on', label, checked, attributes)} ${texts}</div>`;
}
