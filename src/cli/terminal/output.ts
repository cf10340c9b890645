/**
 * A command's result on stdout: for people, or as JSON or YAML for programs.
 */
import type { CliContext } from '../context.ts';
import { escapeUnsafe, plainJson } from './plain-text.ts';

export interface OutputOptions {
  /** `json` or `yaml`; absent: for people. */
  readonly output?: string;
}

/**
 * @param value what programs get; it may hold words of a server
 * @param forPeople its text, ending with a newline, or empty where stderr has said it all
 */
export async function printResult(
  context: CliContext,
  { output }: OutputOptions,
  value: unknown,
  asText: () => string,
): Promise<void> {
  if (output === 'json') return context.print(`${plainJson(value)}\n`);
  if (output === 'yaml') return context.print(await plainYaml(value));
  context.print(asText());
}

/** YAML with every character that a terminal might obey written as an escape. */
async function plainYaml(value: unknown): Promise<string> {
  const { Document, isScalar, Scalar, visit } = await import('yaml');
  // As YAML 1.1 reads it too, which kubectl and many others still speak: a moment or a `no` that is text is quoted.
  const document = new Document(value, { version: '1.1' });
  visit(document, {
    Scalar: (_key, node) => {
      // Only between double quotes are there escapes, and only on one line can what needs one be told from a line's end.
      if (isScalar(node) && typeof node.value === 'string' && escapeUnsafe(node.value) !== node.value) {
        node.type = Scalar.QUOTE_DOUBLE;
      }
    },
  });
  const text = document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER });
  return text.split('\n').map(escapeUnsafe).join('\n');
}
