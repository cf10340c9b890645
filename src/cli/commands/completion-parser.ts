/**
 * The parser of `completion`, and of the hidden command that its scripts call, in its own file so that a cached
 * credential is served without it.
 */
import type { Command } from 'commander';
import { addCommand, run } from '../cli.ts';

const SHELLS = ['bash', 'zsh', 'fish', 'kubectl'];

/**
 * Adds `completion` and `__complete`.
 * @param program the program, whose commands are read when one of these two runs
 */
export function addCompletionCommands(program: Command): void {
  program.commandsGroup('Work:');
  addCommand(program, 'completion', 'print a script that completes these commands in your shell')
    .addArgument(
      program
        .createArgument('<shell>', 'kubectl: the file kubectl_complete-portcullis, for kubectl portcullis')
        .choices(SHELLS),
    )
    .action((shell: string) =>
      run({}, async (context) => {
        const { COMPLETION_SCRIPTS } = await import('../completion/scripts.ts');
        context.print(COMPLETION_SCRIPTS.get(shell) ?? '');
      }),
    );
  program
    .command('__complete', { hidden: true })
    .argument('[arguments...]')
    .action((typed: readonly string[]) =>
      run({}, async (context) => {
        const { complete, cachedValues } = await import('../completion/complete.ts');
        const { formatCompletion } = await import('../completion/scripts.ts');
        context.print(formatCompletion(complete(program, typed, cachedValues(context, typed))));
      }),
    );
}
