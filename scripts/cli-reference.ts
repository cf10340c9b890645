/**
 * Writes docs/reference/cli.md from the commands themselves: `node scripts/cli-reference.ts`. A unit test compares them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Argument, Command, Option } from 'commander';
import { createUserProgram } from '../src/cli-package/program.ts';
import { createProgram } from '../src/program.ts';

export const REFERENCE_FILE = fileURLToPath(new URL('../docs/reference/cli.md', import.meta.url));

export const REGENERATE = 'node scripts/cli-reference.ts';

/** The variables that the commands read. Those of the server's configuration are in `.env.example`. */
export const VARIABLES: ReadonlyMap<string, string> = new Map([
  ['PORTCULLIS_SERVER', 'default of `--server`'],
  ['PORTCULLIS_NO_BROWSER', 'as `--no-browser`, unless it is empty, `0` or `false`'],
  ['PORTCULLIS_TOKEN_FILE', 'default of `--token-file` of `get-token` and `api`'],
  [
    'KUBERNETES_EXEC_INFO',
    'set by the client: the version of ExecCredential that `get-token` prints, `v1` or `v1beta1`',
  ],
  ['PORTCULLIS_CACHE_DIR', 'folder of the sessions; default: `portcullis` in `XDG_CACHE_HOME`'],
  [
    'PORTCULLIS_DELEGATED_DIR',
    'folder of a delegated session, and then the only one: no browser opens, and no other variable leads to a session',
  ],
  ['PORTCULLIS_CREDENTIAL_STORE', 'where sessions are kept: `auto`, `keyring` or `file`; before the choice of `login`'],
  ['DBUS_SESSION_BUS_ADDRESS', 'the D-Bus session that leads to the Secret Service, the keyring on Linux'],
  ['XDG_RUNTIME_DIR', 'folder with the `bus` of a session where that variable is missing'],
  ['PORTCULLIS_CONFIG', 'default of `--config`'],
  ['PORTCULLIS_REDIS_PASSWORD_FILE', 'default of `--password-file` of `store check`'],
  ['REDISCLI_AUTH', 'password of Redis for `store check`, as for `redis-cli`, where no file is given'],
  ['XDG_CACHE_HOME', 'folder of caches; default: `~/.cache`'],
  ['LOCALAPPDATA', 'the same on Windows'],
  ['KUBECONFIG', 'files that `kubeconfig` reads and writes, as kubectl does; default: `~/.kube/config`'],
  [
    'BROWSER',
    'command of the browser, or several separated by `:`, tried in turn; the address replaces `%s`, or comes last',
  ],
  [
    'SSH_CONNECTION',
    'if set without `DISPLAY`, `WAYLAND_DISPLAY` and `BROWSER`: `login` shows a code to type elsewhere',
  ],
  ['DISPLAY', 'see `SSH_CONNECTION`'],
  ['WAYLAND_DISPLAY', 'see `SSH_CONNECTION`'],
  ['WSL_DISTRO_NAME', 'set by WSL: the browser of Windows is opened'],
  ['HTTPS_PROXY', 'proxy to the server, as for kubectl; also in lower case'],
  ['NO_PROXY', 'hosts, suffixes and networks that are reached without a proxy; also in lower case'],
  ['SSL_CERT_FILE', 'further trusted CAs, PEM'],
  ['SSL_CERT_DIR', 'folders of such files'],
  ['NODE_EXTRA_CA_CERTS', 'further trusted CAs, PEM'],
]);

const EXIT_CODES = [
  ['0', 'done'],
  ['1', 'failed'],
  ['2', 'wrong use or configuration'],
  ['3', 'rejected: you may not do this'],
  ['4', 'there is nothing of this name: session, username, provider, revocation, lock, cluster, access request, role'],
  ['5', 'the revocation is written, and not proven yet on every replica (`revoke`, `lock`, `access end`, …)'],
  ['130', '`access request` was stopped while it waited, by Ctrl-C: the request stays open'],
] as const;

const HEAD = `# The command line

<!-- Written by \`${REGENERATE}\` from the commands themselves. Do not edit. -->

\`portcullis COMMAND --help\` prints the same. Installed as \`kubectl-portcullis\`, every command is also
\`kubectl portcullis COMMAND\`.

- Results go to standard output, everything else to standard error.
- \`--output json\` and \`--output yaml\` are for scripts. Without them a terminal gets tables that fit it, with times
  relative to now; a pipe gets the full values.
- Each error says what happened, why, and what to type next. No token is ever shown, not even with \`--verbose\`.
`;

const COMPLETION = `
## Completion

Commands, options and values complete with Tab. Values come from the cache on this machine (servers, clusters), never
from the network. Set it up once:

- bash: \`source <(portcullis completion bash)\` in \`~/.bashrc\`
- zsh: \`source <(portcullis completion zsh)\` in \`~/.zshrc\`, after \`compinit\`
- fish: \`portcullis completion fish > ~/.config/fish/completions/portcullis.fish\`
- \`kubectl portcullis\`: the packages contain \`kubectl_complete-portcullis\`; otherwise \`portcullis completion kubectl\`
  prints that file, for a folder of \`PATH\`
`;

const WHERE = `*Package*: a command of [the packages for users](../install-cli.md). *Image*: a command of the whole program, run as
\`node src/main.ts COMMAND\` in the image, and as \`npx portcullis COMMAND\` in a checkout after \`npm ci\`.
The image does not have the libraries of commands that sign in or use a session: there, these exit with 2.
`;

/**
 * Returns the page.
 * @param program with every command
 * @param packaged with the commands that the packages hold
 */
export function cliReference(program: Command, packaged: Command): string {
  const commands = leavesOf(program, []);
  const inPackage = new Set(leavesOf(packaged, []).map(([path]) => path));
  const list = (entries: readonly Leaf[]): string =>
    entries
      .map(([path, command]) => item(`[\`${path}\`](#${anchor(path)}): ${plain(command.description())}`))
      .join('\n');
  return [
    HEAD,
    '## Exit codes\n',
    table(['Exit code', 'Meaning'], EXIT_CODES),
    '\n## Environment\n',
    [...VARIABLES].map(([name, text]) => item(`\`${name}\`: ${text}`)).join('\n'),
    '\nThe server’s own configuration can also come from variables: see `.env.example`.',
    COMPLETION,
    '## Commands\n',
    WHERE,
    '### Package and image\n',
    list(commands.filter(([path]) => inPackage.has(path))),
    '\n### Image only\n',
    `${list(commands.filter(([path]) => !inPackage.has(path)))}\n`,
    ...commands.map(([path, command]) => section(path, command)),
  ].join('\n');
}

type Leaf = readonly [path: string, command: Command];

/** Returns the commands that have an action, in the order of the help, without hidden ones. */
function leavesOf(command: Command, path: readonly string[]): readonly Leaf[] {
  const visible = command.createHelp().visibleCommands(command);
  return visible.flatMap((one): readonly Leaf[] => {
    if (one.name() === 'help') return [];
    const below = [...path, one.name()];
    return one.commands.length > 0 ? leavesOf(one, below) : [[below.join(' '), one]];
  });
}

function section(path: string, command: Command): string {
  const usage = [
    'portcullis',
    path,
    command.options.length > 0 ? '[options]' : '',
    ...command.registeredArguments.map(argumentName),
  ];
  const rows = [
    ...command.registeredArguments.map((argument) => [`\`${argumentName(argument)}\``, described(argument)]),
    ...command.options.filter(({ hidden }) => !hidden).map((option) => [`\`${option.flags}\``, described(option)]),
  ];
  const usageLine = usage.filter(Boolean).join(' ');
  const lines = [`## ${path}`, '', wrapped(sentence(command.description())), '', '```', usageLine, '```'];
  const options = rows.map(([name = '', text = '']) => item(text === '' ? name : `${name}: ${plain(text)}`));
  return [...lines, ...(options.length === 0 ? [] : ['', ...options]), ''].join('\n');
}

const argumentName = (argument: Argument): string => {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return argument.required ? `<${name}>` : `[${name}]`;
};

function described(part: Argument | Option): string {
  const required = 'mandatory' in part && part.mandatory;
  const isFlag = 'flags' in part && part.isBoolean();
  const facts = [
    part.description,
    ...(part.argChoices === undefined ? [] : [`one of ${part.argChoices.map((choice) => `\`${choice}\``).join(', ')}`]),
    ...(part.defaultValue === undefined || isFlag ? [] : [`default: \`${String(part.defaultValue)}\``]),
    ...(required ? ['**required**'] : []),
  ];
  return facts.filter((fact) => fact !== '').join('; ');
}

const table = (headings: readonly string[], rows: readonly (readonly string[])[]): string =>
  [
    `| ${headings.join(' | ')} |`,
    `|${'---|'.repeat(headings.length)}`,
    ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
  ].join('\n');

const cell = (text: string): string => text.replaceAll('|', '\\|');

const plain = (text: string): string => text.replaceAll('\n', ' ');

const WIDTH = 118;

/** Returns an item of a list. */
const item = (text: string): string => `- ${wrapped(text, '  ')}`;

/** Breaks a text at blanks into lines of at most `WIDTH` columns. */
function wrapped(text: string, indent = ''): string {
  const lines = [''];
  for (const part of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line === '') lines[lines.length - 1] = part;
    else if (indent.length + line.length + 1 + part.length > WIDTH) lines.push(part);
    else lines[lines.length - 1] = `${line} ${part}`;
  }
  return lines.join(`\n${indent}`);
}

const anchor = (path: string): string => path.replaceAll(' ', '-');

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = cliReference(await createProgram({}), await createUserProgram());
  const before = readFileSync(REFERENCE_FILE, { encoding: 'utf8', flag: 'a+' });
  if (before !== text) writeFileSync(REFERENCE_FILE, text);
  console.log(`${REFERENCE_FILE} ${before === text ? 'is up to date' : 'is written'}`);
}
