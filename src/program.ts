/**
 * The parser of every command. The code of the server's commands is imported only when one of them runs, so that a
 * user's machine never loads it.
 */
import type { Command } from 'commander';
import type { QueryOptions } from './commands/audit-query.ts';
import { addUserCommands, isEnough } from './cli/cli.ts';
import { groupOf } from './cli/commands/operation-commands.ts';
import { addCompletionCommands } from './cli/commands/completion-parser.ts';
import { addPostureCommand } from './posture/posture.ts';
import { AUDIT_OPTIONS } from './core/api/audit-options.ts';
import { AUDIT_QUESTIONS } from './core/audit/questions.ts';
import { createParser, USER_EXAMPLES } from './cli/usage.ts';
import type { CheckOptions, ProbeOptions } from './commands/config-commands.ts';
import type { Environment } from './commands/given-config.ts';
import { addAuditProof, addKeyCommands, addStoreCommands } from './commands/server-parser.ts';

const CONFIG_OPTION = [
  '--config <file>',
  'configuration file (or PORTCULLIS_CONFIG, or the PORTCULLIS_… variables of .env.example)',
] as const;

const SERVER_EXAMPLES = `
  portcullis config check --config portcullis.yaml
  portcullis serve --config portcullis.yaml`;

/**
 * Creates the parser. The actions set `process.exitCode`: 0 done, 1 failed, 2 wrong use or configuration, 3
 * rejected (docs/reference/cli.md#exit-codes).
 * @param environment the variables from which the server's commands may take their configuration
 * @param first the first argument. kubectl waits for `get-token`, so the tables of the APIs, from which other commands are
 *   made, are not loaded for it, nor for any command of users that needs none
 */
export async function createProgram(environment: Environment, first?: string): Promise<Command> {
  const program = createParser(
    'A proxy in front of Kubernetes: sign in with your own identity provider, act as yourself.',
  ).addHelpText('after', `${USER_EXAMPLES}${SERVER_EXAMPLES}`);
  addUserCommands(program);
  if (isEnough(program, first)) return program;
  const { addAccessCommands } = await import('./cli/commands/access-parser.ts');
  const { addAdminCommands } = await import('./cli/commands/admin-parser.ts');
  addAccessCommands(program);
  addAdminCommands(program, {
    unlock: async (options) => (await import('./commands/store-changes.ts')).unlockOnServer(options, environment),
    revoke: async (context, options) =>
      (await import('./commands/store-changes.ts')).revokeOnServer(context, options, environment),
  });
  addPostureCommand(program);
  program.commandsGroup('Server:');
  addServerCommands(program, environment);
  addAuditQuery(groupOf(program, 'audit'));
  addAuditProof(groupOf(program, 'audit'), environment);
  addCompletionCommands(program);
  return program;
}

function addServerCommands(program: Command, environment: Environment): void {
  program
    .command('serve')
    .description('run the server')
    .option(...CONFIG_OPTION)
    .action(async ({ config }: { config?: string }) => {
      const { serve } = await import('./commands/server-commands.ts');
      process.exitCode = await serve(config, environment);
    });
  const config = program.command('config').description('work with the configuration');
  config
    .command('check')
    .description('check a configuration and list every validation error: exit 2 if there is one')
    .option(...CONFIG_OPTION)
    .option('--no-files', 'do not read the files that it names, where they are on another machine or not there yet')
    .option('--claims <file>', 'show the user that these claims (a JSON object, - for standard input) would make')
    .option('--provider <name>', 'provider or workload rule of the claims, where there are several')
    .addOption(program.createOption('-o, --output <format>', 'for scripts').choices(['json']))
    .action(async (options: CheckOptions) => {
      const { checkConfig } = await import('./commands/config-commands.ts');
      process.exitCode = await checkConfig(options, environment);
    });
  config
    .command('probe')
    .description('check a live identity provider before any user signs in: exit 1 if a sign-in will not work')
    .option(...CONFIG_OPTION)
    .option('--provider <name>', 'provider to check, where there are several')
    .option(
      '--sign-in [provider]',
      'sign in there yourself, and show what comes: claims, the user or the rule that rejects, auth_time, a refresh',
    )
    .addOption(program.createOption('-o, --output <format>', 'for scripts').choices(['json']))
    .action(async (options: ProbeOptions) => {
      const { probeConfig } = await import('./commands/config-commands.ts');
      process.exitCode = await probeConfig(options, environment);
    });
  addStoreCommands(program, environment, CONFIG_OPTION);
  addKeyCommands(program, environment);
}

function addAuditQuery(audit: Command): void {
  const query = audit
    .command('query')
    .description('search files of the audit log: by user, session, verb, resource, time, rejection')
    .argument('<file...>', 'files of the audit log, gzipped or not, in any order; - for standard input')
    .option('--name <name>', 'of the object with this name')
    .addOption(
      audit
        .createOption('--about <question>', 'what is asked most, as on the audit page; other options narrow it')
        .choices(Object.keys(AUDIT_QUESTIONS)),
    )
    .option('--since <moment>', 'from then on: a time, a day, or an age (2026-11-25T14:00:00Z, 2026-11-25, 12h)')
    .option('--until <moment>', 'before then')
    .addOption(
      audit
        .createOption('-o, --output <format>', 'a table, or the audit events as they are written')
        .choices(['table', 'json']),
    )
    .action(async (files: string[], options: QueryOptions) => {
      const { auditQuery } = await import('./commands/audit-query.ts');
      const context = { stdout: process.stdout, stderr: process.stderr, now: Date.now() };
      process.exitCode = await auditQuery(files, options, context);
    });
  for (const [flags, text] of AUDIT_OPTIONS) query.option(flags, text);
}
