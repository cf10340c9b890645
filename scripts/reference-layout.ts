/** Layout of the generated references: lists in place of wide tables, wrapped at 115 columns. */

const COLUMNS = 115;

/** Matches a word, but a link or a code span is one: broken over two lines it could not be searched for. */
const ATOM = /(?:\[[^\]]*\]\([^)]*\)|`[^`]*`|[^\s`[]|\[(?![^\]]*\]\())+/g;

/** Returns a paragraph, or an item of a list: `first` is before its first line, as many spaces before each further one. */
export function wrapped(text: string, first = ''): string {
  const rest = ' '.repeat(first.length);
  const lines: string[] = [];
  let line: string[] = [];
  for (const [atom] of text.matchAll(ATOM)) {
    if (line.length > 0 && first.length + [...line, atom].join(' ').length > COLUMNS) {
      lines.push(line.join(' '));
      line = [];
    }
    line.push(atom);
  }
  return [...lines, line.join(' ')].map((each, index) => `${index === 0 ? first : rest}${each}`).join('\n');
}

/** Returns an item of a list: a name, what it means, and further facts below it. */
export const entry = (name: string, meaning: string, facts: readonly (readonly [label: string, text: string])[] = []) =>
  [
    wrapped(`\`${name}\`: ${meaning}`, '- '),
    ...facts.map(([label, text]) => wrapped(`${label}: ${text}`, '  - ')),
  ].join('\n');
