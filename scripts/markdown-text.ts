/** Plain Markdown for the generated references: paragraphs and list entries of at most 120 columns. */

const COLUMNS = 120;

/**
 * Wraps a paragraph. Text in back-ticks and links stay on one line.
 * @param first what the first line begins with, such as `- `
 */
export function wrapped(text: string, first = ''): string {
  const indent = ' '.repeat(first.length);
  const lines: string[] = [];
  let line = first;
  for (const word of text.match(/(?:`[^`]*`|\[[^\]]*\]\([^)]*\)|\S)+/g) ?? []) {
    const isEmpty = line === first || line === indent;
    if (!isEmpty && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = `${indent}${word}`;
    } else line += isEmpty ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
}

/** A list entry about a name: **`name`**: text. */
export const entry = (name: string, text: string): string => wrapped(`**\`${name}\`**: ${text}`, '- ');
