/**
 * HTML that escapes by default. A value in a template is text unless it is `Html`, so no page can forget to escape
 * it.
 *
 * Names, user agents and messages of providers come from outside. An attacker puts markup into one of them to run
 * a script in an admin's page, so every value is escaped. Two uses stay unsafe all the same, and no template has
 * them: an attribute without quotes, and a URL whose scheme comes from outside.
 */

const trusted: unique symbol = Symbol('html');

/** Markup that `html` built; nothing else can create an instance. */
export class Html {
  readonly #markup: string;

  constructor(token: typeof trusted, markup: string) {
    if (token !== trusted) throw new Error('only the html template builds markup');
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/** The values of a template: text and numbers are escaped; `undefined` and `false` print nothing. */
export type HtmlValue = Html | string | number | undefined | false | readonly HtmlValue[];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Escapes text for use between tags or inside a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (character) => entities[character] ?? '');
}

function render(value: HtmlValue): string {
  if (value === undefined || value === false) return '';
  if (value instanceof Html) return value.toString();
  if (typeof value === 'object') return value.map(render).join('');
  return escapeHtml(String(value));
}

const compacted = new WeakMap<TemplateStringsArray, readonly string[]>();

/**
 * Removes the indentation of the source, which is a third of a page, from the literal parts. Values are not
 * changed.
 */
function compact(literals: TemplateStringsArray): readonly string[] {
  const known = compacted.get(literals);
  if (known !== undefined) return known;
  const parts = literals.map((literal) => literal.replaceAll(/\n\s+/g, '\n'));
  compacted.set(literals, parts);
  return parts;
}

/** Tagged template: the literal parts are ours, and every value is escaped. */
export function html(literals: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const parts = compact(literals).map((literal, index) => literal + render(values[index]));
  return new Html(trusted, parts.join(''));
}
