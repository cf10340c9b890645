/** The parser of `posture`, in its own file so that a cached credential is served without it. */
import type { Command } from 'commander';
import { addServerCommand, outputOption, run, type CommonOptions } from '../cli/cli.ts';
import type { PostureOptions } from './posture-command.ts';

export function addPostureCommand(program: Command): void {
  addServerCommand(
    program,
    'posture',
    'check how a cluster is kept, with your own rights: exit 1 where something was found, 3 where you may not read enough',
  )
    .requiredOption('--cluster <name>', 'cluster to look at')
    .addOption(
      program
        .createOption('--fail-on <severity>', 'from which severity on a finding makes it exit 1')
        .choices(['high', 'medium', 'low', 'none'])
        .default('high'),
    )
    .option('--waivers <file>', 'what is borne for a while, each with a reason and a last day (YAML)')
    .addOption(
      program
        .createOption(
          '--prefix <prefix>',
          'what the names of the gate’s people begin with, for each provider (default: as your own names)',
        )
        .argParser((prefix: string, before: readonly string[] | undefined) => [...(before ?? []), prefix]),
    )
    .option('--gate-account <account>', 'the gate’s own service account, NAMESPACE/NAME', 'portcullis/portcullis')
    .addOption(outputOption(program))
    .action((options: CommonOptions & PostureOptions) =>
      run(options, async (context) => (await import('./posture-command.ts')).posture(context, options)),
    );
}
