/**
 * Posture: checks how well a cluster follows good practice for tokens and rights.
 *
 * Owns: the rules with their checks (pure, in `rules` and `checks`), the lists that are read from the cluster with the
 * caller's own rights, waivers, and the report. Must not know: the server; it only ever reads.
 *
 * This file has the parser of `posture` alone, so that a cached credential is served without the rest.
 */
import type { Command } from 'commander';
import { addServerCommand, outputOption, run, type CommonOptions } from '../cli/cli.ts';
import type { PostureOptions } from './posture-command.ts';

export function addPostureCommand(program: Command): void {
  addServerCommand(
    program,
    'posture',
    'check the security of a cluster with your own rights: exit 1 on a finding, 3 if you may not read enough',
  )
    .requiredOption('--cluster <name>', 'cluster to check')
    .addOption(
      program
        .createOption('--fail-on <severity>', 'lowest severity of a finding that makes it exit 1')
        .choices(['high', 'medium', 'low', 'none'])
        .default('high'),
    )
    .option('--waivers <file>', 'findings that are waived for a while, each with a reason and a last day (YAML)')
    .addOption(
      program
        .createOption(
          '--prefix <prefix>',
          'prefix of the names of Portcullis’ users, once for each provider (default: the prefixes of your own names)',
        )
        .argParser((prefix: string, before: readonly string[] | undefined) => [...(before ?? []), prefix]),
    )
    .option('--proxy-account <account>', 'service account of Portcullis, NAMESPACE/NAME', 'portcullis/portcullis')
    .addOption(outputOption(program))
    .action((options: CommonOptions & PostureOptions) =>
      run(options, async (context) => (await import('./posture-command.ts')).posture(context, options)),
    );
}
