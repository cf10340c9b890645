/** The admins' commands: those of the admin API by its table, and `api`. */
import type { Command } from 'commander';
import { ADMIN_API } from '../../core/api/admin-operations.ts';
import { addServerCommand, run, type CommonOptions } from '../cli.ts';
import type { CliContext } from '../context.ts';
import { addOperationCommands, type Listed, type Work, type Worked } from './operation-commands.ts';
import type { ApiOptions } from './api-command.ts';
import type { UnlockOptions } from './unlock-command.ts';
import type { LockOptions, RevokeOptions, Target } from './revocation-request.ts';
import type { AdminRequest } from '../http/admin-api.ts';

/** The options of `unlock --config`, which runs on the server's own shell and needs no admin. */
export interface UnlockOnServer extends Pick<UnlockOptions, 'all' | 'fresh' | 'reason'> {
  readonly config: string;
  readonly account?: string;
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

/**
 * Adds the command of each operation of the admin API that has one, and `api`.
 * @param onServer runs `revoke`, `lock` and `unlock` with `--config`
 */
export function addAdminCommands(program: Command, onServer: OnServer): void {
  program.commandsGroup('Admin:');
  const works = worksOf(onServer);
  addOperationCommands(program, ADMIN_API, (name) => {
    if (name in works) return works[name as keyof typeof works];
    if (name === 'listSessions')
      return async (context, options) => (await import('./list-command.ts')).listSessions(context, options);
    return async (context, options) => (await import('./list-command.ts')).list(context, name as ListName, options);
  });
  addApi(program);
}

type Operations = (typeof ADMIN_API)['operations'];
type ListName = Listed<Operations>;

/** What the commands do that do not only show a list. The code of one is imported when it runs. */
const worksOf = (onServer: OnServer): Readonly<Record<Worked<Operations>, Work>> => ({
  async createRevocation(context, options: ConfigOption & RevokeOptions) {
    const { config } = options;
    if (config === undefined) return (await import('./revoke-commands.ts')).revoke(context, options);
    const { revokeTarget } = await import('./revocation-request.ts');
    process.exitCode = await onServer.revoke(context, { ...options, config, target: revokeTarget(options) });
  },
  async createLock(context, options: ConfigOption & LockOptions, account) {
    const { config } = options;
    if (config === undefined) return (await import('./revoke-commands.ts')).lock(context, account, options);
    const { lockTarget } = await import('./revocation-request.ts');
    process.exitCode = await onServer.revoke(context, { ...options, config, target: lockTarget(account, options) });
  },
  async deleteLock(context, options: ConfigOption & UnlockOptions, account) {
    const { config, all, fresh, reason } = options;
    if (config === undefined) return (await import('./unlock-command.ts')).unlock(context, account, options);
    const given = {
      ...(account && { account }),
      ...(all && { all }),
      ...(fresh && { fresh }),
      ...(reason && { reason }),
    };
    process.exitCode = await onServer.unlock({ config, ...given });
  },
  listAccessRequests: async (context, options) =>
    (await import('./access-history-command.ts')).accessHistory(context, options),
  createDrill: async (context, options) => (await import('./drill-command.ts')).drill(context, options),
  tailAudit: async (context, options) => (await import('./audit-tail-command.ts')).auditTail(context, options),
});

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
