/**
 * The parser of every command. The code of the server's commands is imported only when one of them runs, so that a
 * user's machine never loads it.
 */
import { Command } from 'commander';
import type { QueryOptions } from './commands/audit-query.ts';
import { addAdminCommands } from './cli/commands/admin-parser.ts';
import { addUserCommands, exitByUse } from './cli/cli.ts';
import { addCompletionCommands } from './cli/commands/completion-parser.ts';
import { addPostureCommand } from './posture/posture.ts';
import { VERSION } from './cli/http/version.ts';
import type { CheckOptions, Environment, ProbeOptions } from './commands/server-commands.ts';
import { addKeyCommands, addAuditProof } from './commands/server-parser.ts';

const CONFIG_OPTION = [
  '--config <file>',
  'configuration file (or PORTCULLIS_CONFIG, or the PORTCULLIS_… variables of .env.example)',
] as const;

/**
 * Creates the parser. The actions set `process.exitCode`: 0 done, 1 failed, 2 wrong use or configuration, 3
 * rejected (docs/reference/cli.md#exit-codes).
 * @param environment the variables from which the server's commands may take their configuration
 */
export function createProgram(environment: Environment): Command {
  const program = new Command('portcullis')
    .description('A gate in front of Kubernetes: sign in with your own identity provider, act as yourself.')
    .version(`portcullis ${VERSION}`, '--version', 'show the version of this program')
    .showHelpAfterError()
    .exitOverride(exitByUse);
  addUserCommands(program);
  addAdminCommands(program, async (options) => {
    const { unlockOnServer } = await import('./commands/server-commands.ts');
    return unlockOnServer(options, environment);
  });
  addPostureCommand(program);
  addServerCommands(program, environment);
  addAuditQuery(auditCommand(program));
  addAuditProof(auditCommand(program), environment);
  addCompletionCommands(program);
  return program;
}

function addServerCommands(program: Command, environment: Environment): void {
  program
    .command('serve')
    .description('run the gate')
    .option(...CONFIG_OPTION)
    .action(async ({ config }: { config?: string }) => {
      const { serve } = await import('./commands/server-commands.ts');
      process.exitCode = await serve(config, environment);
    });
  const config = program.command('config').description('work with the configuration');
  config
    .command('check')
    .description('check a configuration: every fault at once, exit 2 where there is one')
    .option(...CONFIG_OPTION)
    .option('--claims <file>', 'show who somebody with these claims (a JSON object, - for standard input) would be')
    .option('--provider <name>', 'whose claims they are: a provider or a workload rule, where there are several')
    .addOption(program.createOption('-o, --output <format>', 'for scripts').choices(['json']))
    .action(async (options: CheckOptions) => {
      const { checkConfig } = await import('./commands/server-commands.ts');
      process.exitCode = await checkConfig(options, environment);
    });
  config
    .command('probe')
    .description(
      'ask a live identity provider what will work and what will not, before anybody signs in: exit 1 where a sign-in will not',
    )
    .option(...CONFIG_OPTION)
    .option('--provider <name>', 'which provider, where there are several')
    .addOption(program.createOption('-o, --output <format>', 'for scripts').choices(['json']))
    .action(async (options: ProbeOptions) => {
      const { probeConfig } = await import('./commands/server-commands.ts');
      process.exitCode = await probeConfig(options, environment);
    });
  addKeyCommands(program, environment);
}

/** Returns the `audit` group, which also holds the admins' `audit tail`. */
const auditCommand = (program: Command): Command =>
  program.commands.find((one) => one.name() === 'audit') ?? program.command('audit').description('look at the record');

function addAuditQuery(audit: Command): void {
  audit
    .command('query')
    .description('search files of the record: by person, session, verb, resource, time, refusal')
    .argument('<file...>', 'files of the record, gzipped or not, in any order; - for standard input')
    .option('--user <username>', 'of this person')
    .option('--account <account>', 'of this account, PROVIDER/SUBJECT')
    .option('--session <id>', 'of this session')
    .option('--cluster <name>', 'at this cluster')
    .option('--verb <verb>', 'of this verb, such as get, delete or sign-in')
    .option('--resource <resource>', 'about this resource, such as secrets, or pods/exec alone')
    .option('--namespace <name>', 'in this namespace')
    .option('--code <status>', 'answered with this HTTP status')
    .option('--event <name>', 'events of the gate itself of this name, such as revocation')
    .option('--refused', 'only what was refused, by the gate or by the cluster')
    .option('--since <moment>', 'from then on: a time, a day, or how long ago (2026-11-25T14:00:00Z, 2026-11-25, 12h)')
    .option('--until <moment>', 'before then')
    .addOption(
      audit.createOption('-o, --output <format>', 'for people, or the lines as they are').choices(['table', 'json']),
    )
    .action(async (files: string[], options: QueryOptions) => {
      const { auditQuery } = await import('./commands/audit-query.ts');
      const context = { stdout: process.stdout, stderr: process.stderr, now: Date.now() };
      process.exitCode = await auditQuery(files, options, context);
    });
}
