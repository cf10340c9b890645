/**
 * A choice among a few, with its label.
 */
import { html, type Html } from '../page/html.ts';

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
