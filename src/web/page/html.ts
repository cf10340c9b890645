/**
 * HTML that escapes by default. A value in a template is text unless it is `Html` itself, so a page cannot forget to escape.
 *
 * Threat: names, user agents and providers' messages come from outside; one of them printed raw is script in an admin's page.
 * Two places stay unsafe whatever is escaped, and no template of ours uses them: an attribute without quotes, and a URL scheme
 * that comes from outside.
 */

const trusted: unique symbol = Symbol('html');

/** Markup that was built by `html`; nothing else can make one. */
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

/** What a template takes: text and numbers are escaped; nothing is printed for `undefined` and `false`. */
export type HtmlValue = Html | string | number | undefined | false | readonly HtmlValue[];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Text as it may stand between tags or inside a quoted attribute. */
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

/** Without the source's indentation, which is a third of a page. Literal parts only: what a value looks like is its own. */
function compact(literals: TemplateStringsArray): readonly string[] {
  const known = compacted.get(literals);
  if (known !== undefined) return known;
  const parts = literals.map((literal) => literal.replaceAll(/\n\s+/g, '\n'));
  compacted.set(literals, parts);
  return parts;
}

/** Tagged template: literal parts are ours, every value is escaped. */
export function html(literals: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const parts = compact(literals).map((literal, index) => literal + render(values[index]));
  return new Html(trusted, parts.join(''));
}
