/**
 * The parser of the admins' commands, in its own file so that a cached credential is served without it.
 */
import type { Command } from 'commander';
import { SESSION_SORTS } from '../../core/api/session-sorts.ts';
import { addServerCommand, outputOption, run, type CommonOptions } from '../cli.ts';
import type { CliContext } from '../context.ts';
import type { SessionsOptions } from './admin-commands.ts';
import type { ApiOptions } from './api-command.ts';
import type { TailOptions } from './audit-tail-command.ts';
import type { DrillOptions } from './drill-command.ts';
import type { UnlockOptions } from './lock-commands.ts';
import type { LockOptions, RevokeOptions, Target } from './revocation-request.ts';
import type { AdminRequest } from '../http/admin-api.ts';
import type { OutputOptions } from '../terminal/output.ts';

/** The options of `unlock --config`, which runs on the server's own shell and needs no admin. */
export interface UnlockOnServer {
  readonly config: string;
  readonly account?: string;
  readonly all?: true;
  /** Lifts the fresh sign-in that a revocation requires, instead of a lock. */
  readonly fresh?: true;
  readonly reason?: string;
}

/** The options of `revoke --config` and `lock --config`. */
export interface RevokeOnServer extends RevokeOptions {
  readonly config: string;
  readonly target: Target;
}

/** What is done in the store itself, on the server's own shell: with `--config`. Each returns the exit status. */
export interface OnServer {
  readonly unlock: (options: UnlockOnServer) => Promise<number>;
  /** @throws AppError as for admins */
  readonly revoke: (context: CliContext, options: RevokeOnServer) => Promise<number>;
}

interface ConfigOption {
  readonly config?: string;
}

interface UnlockCommandOptions extends CommonOptions, ConfigOption, UnlockOptions {
  readonly all?: true;
}

/**
 * Adds `sessions`, `revoke`, `lock`, `unlock`, `locks`, `replicas`, `drill`, `audit tail` and `api`.
 * @param onServer runs `revoke`, `lock` and `unlock` with `--config`
 */
export function addAdminCommands(program: Command, onServer: OnServer): void {
  program.commandsGroup('Admin:');
  addReads(program);
  addRevoke(program, onServer);
  addLocks(program, onServer);
  addDrill(program);
  addAudit(program);
  addApi(program);
}

// The commands themselves require it, so that all that is missing is told in one go.
const REASON = ['--reason <text>', 'reason for the audit log, for example a ticket (required)'] as const;
const APPROVAL = [
  '--approval <id>',
  'id of the approval that the first admin got, where two admins are needed',
] as const;
const CONFIG = [
  '--config <file>',
  'on the server: write it into the store of this configuration, without any admin',
] as const;
const FORCE = ['--force', 'lock the account also where nothing is known of it'] as const;

function addReads(program: Command): void {
  addServerCommand(program, 'sessions', 'list sessions (admins and auditors)')
    .option('--search <text>', 'only with this text in username, account, address, client or session id')
    .option('--account <account>', 'of this account only, PROVIDER/SUBJECT')
    .option('--username <name>', 'of this Kubernetes username only')
    .option('--provider <name>', 'of this identity provider or workload rule only')
    .option('--cluster <name>', 'of users who may use this cluster now')
    .option('--idle <duration>', 'not used for this long, for example 2h')
    .option('--delegated', 'delegated sessions only')
    .option('--no-delegated', 'without delegated sessions')
    .option('--actor <name>', 'delegated sessions in which this actor acts')
    .option('--ancestor <id>', 'delegated sessions beneath this session')
    .addOption(program.createOption('--sort <order>', 'the order (default: newest)').choices([...SESSION_SORTS]))
    .addOption(outputOption(program))
    .action((options: CommonOptions & SessionsOptions) =>
      run(options, async (context) => (await import('./admin-commands.ts')).sessions(context, options)),
    );
  addServerCommand(program, 'replicas', 'list the replicas (admins and auditors)')
    .addOption(outputOption(program))
    .action((options: CommonOptions & OutputOptions) =>
      run(options, async (context) => (await import('./admin-commands.ts')).replicas(context, options)),
    );
}

function addRevoke(program: Command, onServer: OnServer): void {
  addServerCommand(
    program,
    'revoke',
    'end sessions immediately on every replica (admins; with --config, on the server’s own shell)',
  )
    .option('--session <id>', 'this session')
    .option('--account <account>', 'every session of this account, PROVIDER/SUBJECT')
    .option('--username <name>', 'every session of the account with this Kubernetes username')
    .option('--provider <name>', 'every session of this identity provider')
    .option('--workload <rule>', 'every session of a workload, by the name of its rule; with --subject')
    .option('--subject <subject>', 'subject of the workload’s tokens')
    .option('--all', 'every session')
    .option('--lock', 'and lock the account: no sign-in until it is unlocked')
    .option('--yes', 'with --all and --provider: do not ask for confirmation (needed without a terminal for --all)')
    .option(...REASON)
    .option(...APPROVAL)
    .option(...FORCE)
    .option(...CONFIG)
    .addOption(outputOption(program))
    .action((options: CommonOptions & ConfigOption & RevokeOptions) =>
      run(options, async (context) => {
        const { config } = options;
        if (config === undefined) return (await import('./revoke-commands.ts')).revoke(context, options);
        const { revokeTarget } = await import('./revocation-request.ts');
        process.exitCode = await onServer.revoke(context, { ...options, config, target: revokeTarget(options) });
      }),
    );
}

function addLocks(program: Command, onServer: OnServer): void {
  addServerCommand(
    program,
    'lock',
    'end every session of an account and lock it: no sign-in until it is unlocked (admins; with --config, on the server’s own shell)',
  )
    .argument('[account]', 'PROVIDER/SUBJECT')
    .option(...REASON)
    .option(...APPROVAL)
    .option(...FORCE)
    .option(...CONFIG)
    .addOption(outputOption(program))
    .action((account: string | undefined, options: CommonOptions & ConfigOption & LockOptions) =>
      run(options, async (context) => {
        const { config } = options;
        if (config === undefined) return (await import('./revoke-commands.ts')).lock(context, account, options);
        const { lockTarget } = await import('./revocation-request.ts');
        process.exitCode = await onServer.revoke(context, { ...options, config, target: lockTarget(account, options) });
      }),
    );
  addServerCommand(program, 'unlock', 'unlock an account (admins; with --config, on the server’s own shell)')
    .argument('[account]', 'PROVIDER/SUBJECT')
    .option(REASON[0], 'reason for the audit log, for example a ticket (required without --config)')
    .option('--config <file>', 'on the server: remove the lock in the store of this configuration, without any admin')
    .option('--all', 'with --config: every lock')
    .option(
      '--fresh',
      'lift the fresh sign-in that a revocation requires, where the identity provider cannot prove one',
    )
    .action((account: string | undefined, options: UnlockCommandOptions) =>
      run(options, async (context) => {
        const { config, all, fresh, reason } = options;
        if (config === undefined) {
          return (await import('./lock-commands.ts')).unlock(context, account, options);
        }
        const given = {
          ...(account && { account }),
          ...(all && { all }),
          ...(fresh && { fresh }),
          ...(reason && { reason }),
        };
        process.exitCode = await onServer.unlock({ config, ...given });
      }),
    );
  addServerCommand(program, 'locks', 'list the locked accounts (admins and auditors)')
    .addOption(outputOption(program))
    .action((options: CommonOptions & OutputOptions) =>
      run(options, async (context) => (await import('./lock-commands.ts')).locks(context, options)),
    );
}

function addApi(program: Command): void {
  addServerCommand(program, 'api', 'send a request to the admin API, and print its JSON (for scripts)')
    .addArgument(program.createArgument('<method>').choices(['GET', 'POST', 'DELETE']))
    .argument('<path>', 'below the admin API, for example /sessions')
    .option('--body <json>', 'JSON of the request; - reads it from stdin')
    .option('--paginate', 'with GET: all pages as one')
    .option(
      '--token-file <file>',
      'as a workload with a role, with its token (also PORTCULLIS_TOKEN_FILE), instead of your session',
    )
    .action((method: AdminRequest['method'], path: string, options: CommonOptions & ApiOptions) =>
      run(options, async (context) => (await import('./api-command.ts')).api(context, method, path, options)),
    );
}

function addDrill(program: Command): void {
  addServerCommand(program, 'drill', 'practise a revocation on every replica: exit 0 if it passes, 1 if it fails')
    .option('--cluster <name>', 'through this cluster (default: the first)')
    .option('--path <path>', 'path of the watch that each replica opens (default: namespaces)')
    .option('--reason <text>', 'reason for the audit log', 'drill')
    .option('--token-file <file>', 'as a workload of role drill, with its token, instead of your session (for cron)')
    .addOption(outputOption(program))
    .action((options: CommonOptions & DrillOptions) =>
      run(options, async (context) => (await import('./drill-command.ts')).drill(context, options)),
    );
}

function addAudit(program: Command): void {
  const group =
    program.commands.find((one) => one.name() === 'audit') ??
    program.command('audit').description('read and verify the audit log');
  addServerCommand(group, 'tail', 'follow the live audit log of all replicas (admins and auditors)')
    .option('--user <name>', 'of this Kubernetes username only')
    .option('--account <account>', 'of this account, PROVIDER/SUBJECT')
    .option('--session <id>', 'of this session, with those delegated from it')
    .option('--actor <name>', 'of delegated sessions in which this actor acts')
    .option('--grant <id>', 'of this access request, and what was done with its grant')
    .option('--cluster <name>', 'at this cluster')
    .option('--verb <verb>', 'with this verb, for example delete')
    .option('--resource <resource>', 'of this resource: pods with its subresources, or pods/exec alone')
    .option('--namespace <name>', 'in this namespace')
    .option('--code <status>', 'with this HTTP status')
    .option('--refused', 'only rejected requests, whether Portcullis or the cluster rejected them')
    .option('--event <name>', 'only this event of Portcullis itself, for example sign-in-refused')
    .addOption(program.createOption('-o, --output <format>', 'for scripts: a line for each event').choices(['json']))
    .action((options: CommonOptions & TailOptions) =>
      run(options, async (context) => (await import('./audit-tail-command.ts')).auditTail(context, options)),
    );
}
