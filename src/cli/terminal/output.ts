/** A command's result on stdout: as text, or as JSON or YAML for scripts. */
import type { CliContext } from '../context.ts';
import { escapeUnsafe, plainJson } from './plain-text.ts';

export interface OutputOptions {
  /** `json` or `yaml`; `wide`, of commands that print a table: all of it; absent: text. */
  readonly output?: string;
}

/**
 * @param value the data for scripts; it may hold a server's text
 * @param asText returns the text, ending with a newline, or empty where stderr already holds everything
 */
export async function printResult(
  context: Pick<CliContext, 'print'>,
  { output }: OutputOptions,
  value: unknown,
  asText: () => string,
): Promise<void> {
  if (output === 'json') return context.print(`${plainJson(value)}\n`);
  if (output === 'yaml') return context.print(await plainYaml(value));
  context.print(asText());
}

/** Writes YAML in which every character that a terminal might interpret is an escape. */
async function plainYaml(value: unknown): Promise<string> {
  const { Document, isScalar, Scalar, visit } = await import('yaml');
  // Also for readers of YAML 1.1, such as kubectl and many others: a timestamp or a `no` that is text is quoted.
  const document = new Document(value, { version: '1.1' });
  visit(document, {
    Scalar: (_key, node) => {
      // Only double quotes allow escapes, and only on one line can an unsafe character be told from a line's end.
      if (isScalar(node) && typeof node.value === 'string' && escapeUnsafe(node.value) !== node.value) {
        node.type = Scalar.QUOTE_DOUBLE;
      }
    },
  });
  const text = document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER });
  return text.split('\n').map(escapeUnsafe).join('\n');
}

/** Returns a line for each fact: its name, and what it is. Ends with a newline. */
export const factLines = (facts: readonly (readonly string[])[]): string =>
  facts.map(([name = '', text = '']) => `  ${name.padEnd(9)} ${text}\n`).join('');
