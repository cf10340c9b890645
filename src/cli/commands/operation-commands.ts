/** The parser of commands that call an operation of an API, from the API's table (core/api/operation.ts). */
import type { Command } from 'commander';
import { operationsOf, type ApiDescription } from '../../core/api/operation.ts';
import { addServerCommand, run } from '../cli.ts';
import type { CliContext } from '../context.ts';

/** What a command does. */
export type Work = (context: CliContext, options: never, operand?: string) => Promise<void>;

type With<O, Command> = { [N in keyof O]: O[N] extends { readonly command: Command } ? N : never }[keyof O];

/** The operations of a table whose commands only show a list, and those whose commands do more. */
export type Listed<O> = With<O, { readonly list: object }>;
export type Worked<O> = Exclude<With<O, object>, Listed<O>>;

const GROUPS: ReadonlyMap<string, string> = new Map([
  ['access', 'ask for a right for a while, and approve what others ask for'],
  ['audit', 'read and verify the audit log'],
]);

/** Returns a group of commands, such as `audit`, which holds commands of users and of servers. */
export const groupOf = (program: Command, name: string): Command =>
  program.commands.find((one) => one.name() === name) ?? program.command(name).description(GROUPS.get(name) ?? '');

/**
 * Adds the command of each operation that has one, in the order of the table.
 * @param workOf returns what the command of an operation does
 */
export function addOperationCommands<N extends string>(
  program: Command,
  api: { readonly operations: Readonly<Record<N, ApiDescription['operations'][string]>> },
  workOf: (operation: N) => Work,
): void {
  for (const [operation, { command }] of operationsOf(api)) {
    if (command === undefined) continue;
    const { name, summary, argument, options = [] } = command;
    const [first = '', second] = name.split(' ');
    const added =
      second === undefined
        ? addServerCommand(program, first, summary)
        : addServerCommand(groupOf(program, first), second, summary);
    if (argument !== undefined) added.argument(...argument);
    for (const [flags, text, { values, preset } = {}] of options) {
      const option = added.createOption(flags, text).default(preset);
      added.addOption(values === undefined ? option : option.choices([...values]));
    }
    added.action(() => run(added.opts(), (context) => workOf(operation)(context, added.opts<never>(), added.args[0])));
  }
}
