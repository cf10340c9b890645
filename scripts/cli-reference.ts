/**
 * Writes docs/reference/cli.md from the commands themselves: `node scripts/cli-reference.ts`. A unit test compares the two.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Argument, Command, Option } from 'commander';
import { createUserProgram } from '../src/cli-package/program.ts';
import { createProgram } from '../src/program.ts';

export const REFERENCE_FILE = fileURLToPath(new URL('../docs/reference/cli.md', import.meta.url));

export const REGENERATE = 'node scripts/cli-reference.ts';

/** Variables that the commands read, each with what it does. Those of the server's configuration are in `.env.example`. */
export const VARIABLES: ReadonlyMap<string, string> = new Map([
  ['PORTCULLIS_SERVER', 'default of `--server`'],
  ['PORTCULLIS_NO_BROWSER', 'as `--no-browser`, unless it is empty, `0` or `false`'],
  ['PORTCULLIS_TOKEN_FILE', 'default of `get-token --token-file`'],
  [
    'KUBERNETES_EXEC_INFO',
    'set by the client: the version of ExecCredential that `get-token` answers in, `v1` or `v1beta1`',
  ],
  ['PORTCULLIS_CACHE_DIR', 'where sessions are kept; default: `portcullis` in `XDG_CACHE_HOME`'],
  ['PORTCULLIS_CONFIG', 'default of `--config`'],
  ['XDG_CACHE_HOME', 'where caches are kept; default: `~/.cache`'],
  ['LOCALAPPDATA', 'the same on Windows'],
  ['KUBECONFIG', 'files that `kubeconfig` reads and writes, as kubectl has it; default: `~/.kube/config`'],
  [
    'BROWSER',
    'the browser’s command, or several with `:` between them, tried in turn; `%s` is the address, else it comes last',
  ],
  ['SSH_CONNECTION', 'set, and no `DISPLAY`, `WAYLAND_DISPLAY` or `BROWSER`: `login` gives a code to type elsewhere'],
  ['DISPLAY', 'see `SSH_CONNECTION`'],
  ['WAYLAND_DISPLAY', 'see `SSH_CONNECTION`'],
  ['WSL_DISTRO_NAME', 'set by WSL: the browser of Windows is opened'],
  ['HTTPS_PROXY', 'proxy to the server, as kubectl takes it; in small letters too'],
  ['NO_PROXY', 'hosts, suffixes and networks that are reached without a proxy; in small letters too'],
  ['SSL_CERT_FILE', 'further authorities to trust, PEM'],
  ['SSL_CERT_DIR', 'folders of such files'],
  ['NODE_EXTRA_CA_CERTS', 'further authorities to trust, PEM'],
]);

const EXIT_CODES = [
  ['0', 'done'],
  ['1', 'failed'],
  ['2', 'wrong use or configuration'],
  ['3', 'refused: you may not do this'],
] as const;

const HEAD = `# The command line

<!-- Written by \`${REGENERATE}\` from the commands themselves. Do not edit. -->

\`portcullis COMMAND --help\` says the same. Installed as \`kubectl-portcullis\`, every command is also \`kubectl portcullis COMMAND\`.

- Results go to standard output, everything else to standard error.
- \`--output json\` and \`--output yaml\` are for scripts. Without them a terminal gets tables that fit it, with moments as seen from now; a pipe gets them whole.
- Each fault says what happened, why, and what to type next. No token is ever shown, with \`--verbose\` neither.
`;

const COMPLETION = `
## Completion

Commands, options and values complete with Tab. Values come from what this machine keeps (servers, clusters), never from the network.

| Shell | Once |
|---|---|
| bash | \`source <(portcullis completion bash)\` in \`~/.bashrc\` |
| zsh | \`source <(portcullis completion zsh)\` in \`~/.zshrc\`, after \`compinit\` |
| fish | \`portcullis completion fish > ~/.config/fish/completions/portcullis.fish\` |
| \`kubectl portcullis\` | the packages bring \`kubectl_complete-portcullis\`; else \`portcullis completion kubectl\` prints that file, for a folder of \`PATH\` |
`;

const WHERE = `\`package\`: what [laptops install](../install-cli.md). \`image\`: the whole program, as \`node src/main.ts COMMAND\` in the image of the gate and as
\`npx portcullis COMMAND\` in a checkout after \`npm ci\`.
`;

/**
 * The page.
 * @param program with every command
 * @param laptop with those that the packages hold
 */
export function cliReference(program: Command, laptop: Command): string {
  const commands = leavesOf(program, []);
  const packaged = new Set(leavesOf(laptop, []).map(([path]) => path));
  const where = (path: string): string => (packaged.has(path) ? 'package, image' : 'image');
  const index = commands.map(
    ([path, command]) => `| [\`${path}\`](#${anchor(path)}) | ${cell(command.description())} | ${where(path)} |`,
  );
  return [
    HEAD,
    '## Exit codes\n',
    table(['Exit code', 'Meaning'], EXIT_CODES),
    '\n## Environment\n',
    table(
      ['Variable', 'What it does'],
      [...VARIABLES].map(([name, words]) => [`\`${name}\``, words]),
    ),
    '\nThe server’s own configuration can come from variables too: see `.env.example`.',
    COMPLETION,
    '## Commands\n',
    WHERE,
    `| Command | What it does | Where |\n|---|---|---|\n${index.join('\n')}\n`,
    ...commands.map(([path, command]) => section(path, command)),
  ].join('\n');
}

type Leaf = readonly [path: string, command: Command];

/** Commands that do something, in the order of the help, hidden ones left out. */
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
  const lines = [`## ${path}`, '', sentence(command.description()), '', '```', usageLine, '```'];
  return [...lines, ...(rows.length === 0 ? [] : ['', table(['Option', 'What it does'], rows)]), ''].join('\n');
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

/** \`$KUBECONFIG\` and \`<file>\` are words here, not markup. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const anchor = (path: string): string => path.replaceAll(' ', '-');

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = cliReference(createProgram({}), createUserProgram());
  const before = readFileSync(REFERENCE_FILE, { encoding: 'utf8', flag: 'a+' });
  if (before !== text) writeFileSync(REFERENCE_FILE, text);
  console.log(`${REFERENCE_FILE} ${before === text ? 'is up to date' : 'is written'}`);
}
