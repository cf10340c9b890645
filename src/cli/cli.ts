/**
 * Cli: the code that runs on a user's machine: the exec credential plugin, and the commands of users and admins.
 *
 * Owns: the cache with its locks, the sign-in by browser, the client's side of our OAuth endpoints and admin API,
 * kubeconfigs, and exit codes. Must not know: the server's modules (it speaks HTTP to them, and imports core only),
 * or kubectl's reasons.
 *
 * Everything that a server sends is hostile until checked. stdout holds only the result; messages for users go to
 * stderr and never contain a token.
 */
import { resolve } from 'node:path';
import type { Command, Option } from 'commander';
import { RENEW_COMMAND, renewNow } from './plugin/background-renewal.ts';
import { locateEntry } from './session/cache.ts';
import { CREDENTIAL_STORES, KEYRING_COMMAND, type CredentialStore } from './session/credential-store.ts';
import type { DelegateOptions } from './commands/delegate-command.ts';
import type { KubeconfigOptions } from './commands/kubeconfig-command.ts';
import type { ProxyOptions } from './commands/proxy-command.ts';
import type { LoginOptions } from './commands/sign-in-commands.ts';
import { cliError, exitCodeOf, describeErrorCode, errorMessage } from './errors.ts';
import { fromCache, getToken } from './plugin/get-token.ts';
import { createCliContext, type CliContext } from './context.ts';
import type { OutputOptions } from './terminal/output.ts';
import { parseClusterName, parseServer } from './http/server-url.ts';
import { whichServer, type ServerOptions } from './session/which-server.ts';

export interface CommonOptions extends ServerOptions {
  readonly verbose?: boolean;
}

/**
 * Adds `login`, `logout`, `whoami`, `credential-store`, `kubeconfig`, `get-token`, `proxy`, `delegate` and
 * `delegations`. Their actions set `process.exitCode` (0 done, 1 failed, 2 wrong use or configuration, 3 rejected) and
 * never throw; wrong use of them exits 2. Commands of one operation of an API are made from its table
 * (`commands/operation-commands.ts`).
 */
export function addUserCommands(program: Command): void {
  program.commandsGroup('Sign-in:');
  addSignInCommands(program);
  addCredentialStore(program);
  addAccessKeyring(program);
  program.commandsGroup('Work:');
  addKubeconfig(program);
  addGetToken(program);
  addRenewToken(program);
  addProxy(program);
  addDelegate(program);
}

/** Whether the first argument asks for no command but those that are there, so that the tables of others need not be loaded. */
export const isEnough = (program: Command, first: string | undefined): boolean =>
  first === '--version' || program.commands.some((one) => one.name() === first);

/**
 * Responds with a cached credential before a command parser is loaded. It accepts exactly the form of arguments
 * that our kubeconfigs have.
 * @param args the arguments after the program's name
 * @returns false where it did nothing and the full command has to run
 */
export function respondFromCache(args: readonly string[]): boolean {
  const [command, serverOption, server, clusterOption, cluster, ...rest] = args;
  if (command !== 'get-token' || serverOption !== '--server' || clusterOption !== '--cluster') return false;
  if (server === undefined || cluster === undefined || rest.length > 0) return false;
  const context = createCliContext();
  if (context.environment.tokenFile !== undefined) return false;
  try {
    const entry = locateEntry(context.environment.cacheDir, { url: parseServer(server) });
    // A rejected token is recorded as issued by now, so the full command comes to the same conclusion.
    const found = fromCache(context, entry, parseClusterName(cluster));
    if (!('credential' in found)) return false;
    context.print(found.credential);
    return true;
  } catch {
    return false; // The full command meets the same error and reports it.
  }
}

const TOKEN_FILE = [
  '--token-file <file>',
  'as a workload, with the token that its issuer writes to this file (also PORTCULLIS_TOKEN_FILE); no user signs in',
] as const;

interface GetTokenOptions extends CommonOptions {
  readonly cluster?: string;
  readonly admin?: true;
  readonly browser: boolean;
  readonly tokenFile?: string;
}

function addGetToken(program: Command): void {
  addServerCommand(
    program,
    'get-token',
    'give kubectl a credential (its exec plugin); opens a browser when no user is signed in',
  )
    .option('--cluster <name>', 'cluster of the credential')
    .option('--admin', 'a credential for the admin API instead, for a program of your own')
    .option(
      '--no-browser',
      'never open a browser: fail, and print the command for a sign-in (also PORTCULLIS_NO_BROWSER)',
    )
    .option(...TOKEN_FILE)
    .action((options: GetTokenOptions) =>
      run(options, async (context) => {
        const server = whichServer(context.environment, options);
        const tokenFile = options.tokenFile ?? context.environment.tokenFile;
        if ((options.cluster === undefined) !== (options.admin === true))
          throw cliError(
            'bad_request',
            'A credential is for one cluster or for the admin API.',
            'give --cluster or --admin',
          );
        if (options.cluster === undefined) {
          const { printAdminCredential } = await import('./plugin/admin-token.ts');
          return printAdminCredential(context, server, tokenFile);
        }
        const cluster = parseClusterName(options.cluster);
        if (tokenFile === undefined) {
          return getToken(context, { server, cluster, browser: options.browser && !context.environment.noBrowser });
        }
        const { getWorkloadToken } = await import('./plugin/workload-token.ts');
        return getWorkloadToken(context, { server, cluster, tokenFile: resolve(tokenFile) });
      }),
    );
}

/** Adds the internal command that `get-token` starts and does not wait for. */
function addRenewToken(program: Command): void {
  program
    .command(RENEW_COMMAND, { hidden: true })
    .requiredOption('--server <url>')
    .requiredOption('--cluster <name>')
    .option('--ca-file <file>')
    .action((options: CommonOptions & { readonly cluster: string }) =>
      run(options, (context) =>
        renewNow(context, whichServer(context.environment, options), parseClusterName(options.cluster)),
      ),
    );
}

function addSignInCommands(program: Command): void {
  addServerCommand(program, 'login', 'sign in')
    .option('--provider <name>', 'identity provider to use')
    .option('--device', 'by a code that you type into a browser on another machine (default over SSH)')
    .option(
      '--device-name <name>',
      "name of this machine in lists of sessions, now and at later sign-ins; '' sends none (default: its host name)",
    )
    .addOption(
      program
        .createOption('--credential-store <store>', 'where your sessions are kept, now and at later sign-ins')
        .choices(CREDENTIAL_STORES),
    )
    .action((options: CommonOptions & LoginOptions) =>
      run(options, async (context) => (await import('./commands/sign-in-commands.ts')).login(context, options)),
    );
  addServerCommand(program, 'logout', 'end your session, here and at the server')
    .option('--session <id>', 'end this one of your sessions, or a delegated one; 8 characters of its id are enough')
    .addOption(outputOption(program))
    .action((options: CommonOptions & OutputOptions & { readonly session?: string }) =>
      run(options, async (context) => {
        const { session, output } = options;
        if (session === undefined && output !== undefined)
          throw cliError('bad_request', '--output is for the receipt of --session.', 'leave it out');
        if (session === undefined) return (await import('./commands/sign-in-commands.ts')).logout(context, options);
        return (await import('./commands/delegations-command.ts')).endSession(context, session, options);
      }),
    );
  addServerCommand(program, 'whoami', 'show your user, groups, session and clusters, as the server sees them')
    .addOption(outputOption(program))
    .action((options: CommonOptions & OutputOptions) =>
      run(options, async (context) => (await import('./commands/sign-in-commands.ts')).whoami(context, options)),
    );
}

function addCredentialStore(program: Command): void {
  addServerCommand(program, 'credential-store', 'show where your session is kept, or move it')
    .addArgument(
      program
        .createArgument('[store]', 'move it there, and keep later sessions there; auto: the keyring, else a file')
        .choices(CREDENTIAL_STORES),
    )
    .addOption(outputOption(program))
    .action((store: CredentialStore | undefined, options: CommonOptions & OutputOptions) =>
      run(options, async (context) =>
        (await import('./commands/credential-store-command.ts')).credentialStore(context, store, options),
      ),
    );
}

/** Adds the internal command that accesses the keyring, in a process that can be ended. */
function addAccessKeyring(program: Command): void {
  program.command(KEYRING_COMMAND, { hidden: true }).action(async () => {
    const { runKeyringProcess } = await import('./session/keyring-process.ts');
    await runKeyringProcess((output) => void process.stdout.write(output));
  });
}

function addKubeconfig(program: Command): void {
  addServerCommand(program, 'kubeconfig', 'write contexts for your clusters into your kubeconfig')
    .option('--print', 'write a whole kubeconfig to stdout instead')
    .option('--kuberc', 'write to stdout what ~/.kube/kuberc needs so that kubectl starts no other plugin')
    .option('--dry-run', 'show the changes and write nothing')
    .option('--file <file>', 'the kubeconfig (default: as kubectl chooses among $KUBECONFIG, or ~/.kube/config)')
    .option('--command <command>', 'command that kubectl runs; a wrapper script must `exec`', 'portcullis')
    .option(...TOKEN_FILE)
    .addOption(outputOption(program))
    .action((options: CommonOptions & KubeconfigOptions) =>
      run(options, async (context) => (await import('./commands/kubeconfig-command.ts')).kubeconfig(context, options)),
    );
}

function addProxy(program: Command): void {
  addServerCommand(
    program,
    'proxy',
    'serve a cluster on this machine, for clients that cannot present a client certificate',
  )
    .requiredOption('--cluster <name>', 'cluster to serve')
    .option('--port <number>', 'port on 127.0.0.1 (default: a free port)')
    .option('--socket <file>', 'a Unix socket instead, in your own folder with mode 700; no kubeconfig is written then')
    .option(
      '--kubeconfig <file>',
      'where to write the kubeconfig: a new file, removed at the end (default: in the cache)',
    )
    .option(
      '--no-browser',
      'never open a browser: fail, and print the command for a sign-in (also PORTCULLIS_NO_BROWSER)',
    )
    .action((options: CommonOptions & ProxyOptions) =>
      run(options, async (context) => (await import('./commands/proxy-command.ts')).proxy(context, options)),
    );
}

function addDelegate(program: Command): void {
  addServerCommand(program, 'delegate', 'make a session that may do less than yours, for a script or an AI agent')
    .argument('[command...]', 'after --: the program to run with it; the session ends with the program')
    .option('--read-only', 'it may get, list and watch, and read logs; no Secrets, no way into a pod')
    .option('--with-secrets', 'with --read-only: Secrets too')
    .option('--namespace <name>', 'in this namespace alone; can be repeated', collected)
    .option('--rules <file>', 'rules as those of a Role, YAML or JSON, with namespaces: if you like; - for stdin')
    .option(
      '--cluster <name>',
      'at this cluster; can be repeated (default: that of kubectl’s current context, or the only one)',
      collected,
    )
    .option('--for <duration>', 'how long at most, such as 90s, 30m or 2h', '1h')
    .option('--name <name>', 'who acts, for lists and the audit log (default: the name of the program or file)')
    .option(
      '--kubeconfig <file>',
      'write a kubeconfig for it, with its session in FILE.d, instead of running a program',
    )
    .option('--force', 'overwrite a kubeconfig that is not one of a delegated session')
    .option('--command <command>', 'command that kubectl runs; a wrapper script must `exec`', 'portcullis')
    .addOption(outputOption(program))
    .action((command: readonly string[], options: CommonOptions & DelegateOptions) =>
      run(options, async (context) =>
        (await import('./commands/delegate-command.ts')).delegate(context, command, options),
      ),
    );
  addServerCommand(program, 'delegations', 'list what you have delegated: what each may do, and has done')
    .addOption(tableOption(program))
    .action((options: CommonOptions & OutputOptions) =>
      run(options, async (context) =>
        (await import('./commands/delegations-command.ts')).delegations(context, options),
      ),
    );
}

const collected = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** Adds a command that takes no other arguments than it declares. */
export function addCommand(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).allowExcessArguments(false);
}

/** Adds a command that talks to a server. */
export function addServerCommand(program: Command, name: string, description: string): Command {
  return addCommand(program, name, description)
    .option(
      '--server <url>',
      'public URL of Portcullis, https unless it says http (also PORTCULLIS_SERVER; default: the only one you signed in to)',
    )
    .option('--ca-file <file>', 'CA certificate of the server, PEM (default: the CAs of the system)')
    .option('--verbose', 'log each step to stderr');
}

export const outputOption = (program: Command): Option =>
  program.createOption('-o, --output <format>', 'for scripts').choices(['json', 'yaml']);

/** The same of a command that prints a table. */
const tableOption = (program: Command): Option =>
  program
    .createOption('-o, --output <format>', 'json or yaml for scripts; wide for every column, uncut')
    .choices(['json', 'yaml', 'wide']);

/** Runs a command's action, and turns an error into a message and an exit code. */
export async function run(
  options: { readonly verbose?: boolean },
  action: (context: CliContext) => Promise<void>,
): Promise<void> {
  const context = createCliContext({ verbose: options.verbose === true });
  if (options.verbose === true)
    (await import('./http/request-trace.ts')).logRequests((message) => context.detail(message));
  try {
    await action(context);
  } catch (error) {
    context.notify(errorMessage(error));
    context.detail(describeErrorCode(error));
    process.exitCode = exitCodeOf(error);
  }
}
