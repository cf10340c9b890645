import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CacheEntry } from '../../src/cli/session/cache.ts';
import { PROGRAM } from '../support/built-program.ts';
import { CLUSTER, FrontStage, SERVER, usual, type Answer, type AskOptions } from '../support/cli-front.ts';

const found = (file: string): boolean => existsSync(file);

/** The shells of this machine; Debian's /bin/sh is dash, other systems' is bash, BusyBox's ash or zsh. */
const SHELLS: readonly (readonly string[])[] = [
  ['/bin/dash'],
  ['/bin/bash', '--posix'],
  ['/bin/busybox', 'sh'],
  ['/usr/bin/zsh', '--emulate', 'sh'],
].filter(([file]) => found(file ?? ''));

let stage: FrontStage;
beforeEach(() => {
  stage = new FrontStage(PROGRAM);
});
afterEach(() => {
  const obeyed = existsSync(stage.canary);
  stage.remove();
  if (obeyed) throw new Error('hostile data was obeyed');
});

interface Case extends AskOptions {
  readonly name: string;
  /** Creates the cache, with its defect. */
  readonly cache: () => void;
  /** Whether the front returns the token without the full program. */
  readonly front?: true;
  /** The full program is asked as well, although the front only starts it. */
  readonly isAsked?: true;
  readonly options?: () => AskOptions;
}

const V1BETA1 = '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1"}';
const signIn = (): CacheEntry => stage.signIn();
const signInWithCa = (): CacheEntry => stage.signIn({}, { ca: true });
const withCaFile = (): AskOptions => ({ args: [...usual(), '--ca-file', stage.caFile] });
const ready = (change: (file: string, entry: CacheEntry) => void) => (): void => {
  const entry = stage.signIn();
  change(stage.readyFile(entry), entry);
};
const session = (change: (file: string) => void) => (): void => change(join(signIn().dir, 'session.json'));
const edited = (edit: (lines: string[]) => void) =>
  ready((file) => {
    const lines = readFileSync(file, 'utf8').split('\n');
    edit(lines);
    const rest = lines.slice(1).join('\n');
    const sessionSize = lines[0]?.split(' ')[3];
    const sized = (size: number): string => `portcullis-ready 1 ${size} ${sessionSize}\n${rest}`;
    let size = sized(100).length;
    while (sized(size).length !== size) size += 1;
    writeFileSync(file, sized(size));
  });

/** Returns a sign-in with its cache in a folder of an unusual name. */
const inside = (name: string) => (): void => {
  stage.cacheDir = join(stage.home, name);
  signIn();
};

/** @param env with HOME where the folder of the user is meant */
const foundBy = (name: string, folder: string, env: Record<string, string>): Case => ({
  name,
  cache: inside(folder),
  options: () => ({ env: JSON.parse(JSON.stringify(env).replace('HOME/', `${stage.home}/`)) }),
  front: true,
});

const GOOD: readonly Case[] = [
  { name: 'a fresh credential', cache: signIn, front: true },
  ...[
    'with blank',
    "quote'",
    'back\\slash',
    '$(touch canary)',
    '*',
    '-n',
    '`touch canary`',
    '{a,b}',
    '~',
    'ümlaut',
  ].map((name): Case => ({ name: `a cache in a folder named ${name}`, cache: inside(name), front: true })),
  foundBy('a cache in XDG_CACHE_HOME', 'xdg/portcullis', { PORTCULLIS_CACHE_DIR: '', XDG_CACHE_HOME: 'HOME/xdg' }),
  foundBy('a cache in HOME', '.cache/portcullis', { PORTCULLIS_CACHE_DIR: '', XDG_CACHE_HOME: '' }),
  foundBy('the folder of a delegated session', 'child', { PORTCULLIS_DELEGATED_DIR: 'HOME/child' }),
  { name: 'a server with its own CA', cache: signInWithCa, options: withCaFile, front: true },
  {
    name: 'a ready file from the future, which says nothing about the token',
    cache: ready((file) => utimesSync(file, 4e9, 4e9)),
    front: true,
  },
];

const UNUSUAL: readonly Case[] = [
  { name: 'no cache', isAsked: true, cache: () => undefined },
  { name: 'a session without a ready file', cache: ready((file) => rmSync(file)) },
  { name: 'an expired token', isAsked: true, cache: () => stage.signIn({ receivedAt: 1000, expiresAt: 301_000 }) },
  { name: 'a token in its last minute', cache: () => stage.signInToLastMinute() },
  {
    name: 'a clock that was set back',
    cache: () => stage.signIn({ receivedAt: Date.now() + 600_000, expiresAt: Date.now() + 900_000 }),
  },
  {
    name: 'another server’s answer under this name',
    cache: edited((lines) => (lines[1] = 'https://evil.example.com')),
  },
  { name: 'another cluster’s answer under this name', cache: edited((lines) => (lines[2] = 'dev')) },
  { name: 'another form of the file', cache: ready((file) => writeFileSync(file, 'portcullis-ready 2 22\n')) },
  ...['', '-1', '1e9', '$(touch canary)', '99999999999999999999', 'x[$(touch canary)]', '0x7fffffff', ' '].map(
    (number): Case => ({ name: `a time that reads ${number}`, cache: edited((lines) => (lines[4] = number)) }),
  ),
  ...['../../../../canary', '', '*', '$(touch canary)', '.'].map((id): Case => ({
    name: `a token id that reads ${id}`,
    cache: edited((lines) => (lines[5] = id)),
  })),
  { name: 'an empty ready file', cache: ready((file) => truncateSync(file, 0)) },
  { name: 'a ready file that was cut short', cache: ready((file) => truncateSync(file, lstatSync(file).size - 10)) },
  { name: 'a ready file that something was added to', cache: ready((file) => appendFileSync(file, 'x')) },
  { name: 'a huge ready file', cache: ready((file) => truncateSync(file, 1e9)) },
  { name: 'a ready file of zeros', cache: ready((file) => writeFileSync(file, Buffer.alloc(500))) },
  { name: 'a ready file that others may read', cache: ready((file) => chmodSync(file, 0o604)) },
  { name: 'a ready file that the group may write', cache: ready((file) => chmodSync(file, 0o620)) },
  {
    name: 'a ready file that is a link',
    cache: ready((file) => {
      renameSync(file, join(stage.home, 'elsewhere'));
      symlinkSync(join(stage.home, 'elsewhere'), file);
    }),
  },
  {
    name: 'a ready file that is a pipe',
    cache: ready((file) => {
      rmSync(file);
      execFileSync('mkfifo', ['-m', '600', file]);
    }),
  },
  {
    name: 'a ready file that is a folder',
    cache: ready((file) => {
      rmSync(file);
      mkdirSync(file, { mode: 0o700 });
    }),
  },
  { name: 'a session that others may read', cache: session((file) => chmodSync(file, 0o644)) },
  { name: 'a session that is gone', cache: session((file) => rmSync(file)) },
  { name: 'a session that was cut short', cache: session((file) => truncateSync(file, 100)) },
  { name: 'a session that is younger than the answer', cache: session((file) => utimesSync(file, 4e9, 4e9)) },
  {
    name: 'a session that is a link',
    cache: session((file) => {
      renameSync(file, join(stage.home, 'elsewhere'));
      symlinkSync(join(stage.home, 'elsewhere'), file);
    }),
  },
  { name: 'a session folder that others may read', cache: () => chmodSync(signIn().dir, 0o755) },
  { name: 'a cache that others may read', cache: () => (signIn(), chmodSync(stage.cacheDir, 0o750)) },
  {
    name: 'a session folder that is a link',
    cache: () => {
      const { dir } = signIn();
      renameSync(dir, join(stage.home, 'elsewhere'));
      symlinkSync(join(stage.home, 'elsewhere'), dir);
    },
  },
  {
    name: 'a cache that is a link',
    cache: () => {
      signIn();
      renameSync(stage.cacheDir, join(stage.home, 'elsewhere'));
      symlinkSync(join(stage.home, 'elsewhere'), stage.cacheDir);
    },
  },
  {
    name: 'a second folder with a token for this cluster',
    cache: ready((_file, { dir }) => cpSync(dir, join(stage.cacheDir, 'f'.repeat(32)), { recursive: true })),
  },
  { name: 'no folder for the note', cache: () => rmSync(join(signIn().dir, 'served'), { recursive: true }) },
  {
    name: 'a CA file that has changed',
    cache: () => (stage.signIn({}, { ca: true }), appendFileSync(stage.caFile, '\n')),
    options: withCaFile,
  },
  {
    name: 'a CA file that does not exist any more',
    cache: () => (stage.signIn({}, { ca: true }), rmSync(stage.caFile)),
    options: withCaFile,
  },
  { name: 'a CA file with a relative path', cache: signInWithCa, args: [...usual(), '--ca-file', 'ca.crt'] },
  {
    name: 'another option in the place of the CA file',
    cache: signInWithCa,
    options: () => ({ args: [...usual(), '--token-file', stage.caFile] }),
  },
  { name: 'a session with a CA file, and a command without one', cache: () => stage.signIn({}, { ca: true }) },
  { name: 'a relative cache folder', cache: signIn, env: { PORTCULLIS_CACHE_DIR: 'cache' } },
  {
    name: 'a cache folder by way of another',
    cache: signIn,
    options: () => ({ env: { PORTCULLIS_CACHE_DIR: `${stage.home}/bin/../cache` } }),
  },
  { name: 'a client that knows v1beta1 only', cache: signIn, env: { KUBERNETES_EXEC_INFO: V1BETA1 } },
  { name: 'a workload’s token file', cache: signIn, env: { PORTCULLIS_TOKEN_FILE: '/nonexistent' } },
];

/** These files belong to another user, so only root can create them. */
const FOREIGN: readonly Case[] = [
  { name: 'a session of another user', cache: session((file) => chownSync(file, 65534, 65534)) },
  { name: 'a ready file of another user', cache: ready((file) => chownSync(file, 65534, 65534)) },
  { name: 'a session folder of another user', cache: () => chownSync(signIn().dir, 65534, 65534) },
  { name: 'a cache of another user', cache: () => (signIn(), chownSync(stage.cacheDir, 65534, 65534)) },
];

const HOSTILE = [
  '$(touch canary)',
  '`touch canary`',
  '-n',
  '*',
  '',
  'a\nb',
  '; touch canary',
  "'",
  '\\',
  '%s',
  '-O',
  '!',
  '(',
];
const ARGUMENTS: readonly Case[] = [
  ...HOSTILE.map((word): Case => ({
    name: `a server that reads ${JSON.stringify(word)}`,
    cache: signIn,
    args: usual(word),
  })),
  ...HOSTILE.map((word): Case => ({
    name: `a cluster that reads ${JSON.stringify(word)}`,
    cache: signIn,
    args: usual(SERVER, word),
  })),
  { name: 'a cluster in another folder', cache: signIn, args: usual(SERVER, '../prod') },
  { name: 'the server with a slash more', cache: signIn, args: usual(`${SERVER}/`) },
  { name: 'the server with a comma for a slash', cache: signIn, args: usual(SERVER.replaceAll('/', ',')) },
  { name: 'another cluster', cache: signIn, args: usual(SERVER, 'dev') },
  { name: 'options in another order', cache: signIn, args: ['get-token', '--cluster', CLUSTER, '--server', SERVER] },
  {
    name: 'options with an equals sign',
    cache: signIn,
    args: ['get-token', `--server=${SERVER}`, `--cluster=${CLUSTER}`],
  },
  { name: 'an option more', isAsked: true, cache: signIn, args: [...usual(), '--no-browser'] },
  { name: 'another option with a value', cache: signIn, args: [...usual(), '--token-file', '/nonexistent'] },
  { name: 'a command that does not exist', isAsked: true, cache: signIn, args: ['$(touch canary)'] },
];

/** Environment variables that must have no effect. */
const VARIABLES = (
  [
    { IFS: '/:,-' },
    { IFS: 'portculis0123456789' },
    { CDPATH: '/', OLDPWD: '/' },
    { ENV: './evil.sh', BASH_ENV: './evil.sh' },
    { 'BASH_FUNC_command%%': '() { touch canary; }', 'BASH_FUNC_read%%': '() { touch canary; }' },
    { 'BASH_FUNC_true%%': '() { touch canary; }', 'BASH_FUNC_ls%%': '() { touch canary; }' },
    { PPID: '1', EUID: '1', UID: '1', PWD: '/nonexistent' },
    { LC_ALL: 'C.UTF-8', LANG: 'ja_JP.SJIS' },
    { TZ: ':/nonexistent', TIME_STYLE: '+$(touch canary)', QUOTING_STYLE: 'shell' },
    { POSIXLY_CORRECT: '1', GLOBIGNORE: '', LS_COLORS: 'di=31' },
    { dir: '/', file: '/etc/passwd', server: 'x', marker: 'canary', kind: 'ready-ca', now: '0', newline: 'x' },
  ] satisfies readonly Record<string, string>[]
).map((env): Case => ({ name: `an environment with ${Object.keys(env).join(', ')}`, cache: signIn, env, front: true }));

const TOOLS = ['ls', 'date', 'cat', 'cmp', 'readlink', 'test', 'true', '['];

const ENVIRONMENTS: readonly Case[] = [
  ...VARIABLES,
  {
    name: 'a PATH that begins with tools of another author',
    cache: () => {
      stage.signIn({}, { ca: true });
      mkdirSync(join(stage.home, 'tools'));
      for (const tool of TOOLS) {
        writeFileSync(join(stage.home, 'tools', tool), `#!/bin/sh\n: >'${stage.canary}'\n`, { mode: 0o755 });
      }
    },
    options: () => ({
      args: [...usual(), '--ca-file', stage.caFile],
      env: { PATH: `${stage.home}/tools:${process.env['PATH']}` },
    }),
    front: true,
  },
];

const CASES = [...GOOD, ...UNUSUAL, ...ARGUMENTS, ...ENVIRONMENTS, ...(process.getuid?.() === 0 ? FOREIGN : [])];

/**
 * A run leaves its note, so each begins with the same cache. A front that only starts the full program must do so as it was started itself, and
 * write nothing: then the output is the same. @returns how often the full program was started, by the front in each shell
 */
async function askBoth({ cache, args, env, script, options, front, isAsked }: Case): Promise<readonly number[]> {
  cache();
  const asked = { ...(args && { args }), ...(env && { env }), ...(script && { script }), ...options?.() };
  const isHandedOver = front !== true && script === undefined;
  const isCompared = !isHandedOver || isAsked === true;
  const restore = stage.keepCache(SHELLS.length + (isCompared ? 1 : 0));
  const full = isCompared ? await stage.askFull(asked) : undefined;
  const fullRuns = expect.any(Number) as number;
  const answers: Answer[] = [];
  for (const [index, shell] of SHELLS.entries()) {
    restore();
    const isStarted = isHandedOver && !(isCompared && index === 0);
    const answer = isStarted ? await stage.askHandOver(shell, asked) : await stage.askFront(shell, asked);
    const expected = isStarted ? { handed: stage.startedBy(asked) } : { ...full, fullRuns };
    expect(answer, shell.join(' ')).toMatchObject(expected);
    answers.push(answer);
  }
  return answers.map((answer) => answer.fullRuns);
}

describe('the front and the full program have the same output', () => {
  test.each(CASES)('for $name', { timeout: 120_000 }, async (row) => {
    if (Object.keys(row.env ?? {}).some((name) => name.endsWith('ENV'))) {
      writeFileSync(join(stage.home, 'evil.sh'), 'touch canary\n');
    }
    expect(await askBoth(row)).toEqual(SHELLS.map(() => (row.front === true ? 0 : 1)));
  });
});

/** The note that this parent has received the token, under the name that the parent itself would use. */
const OWN_NOTE =
  'set -- "$@"; stat=$(cat /proc/$$/stat); note=$(echo "$PORTCULLIS_CACHE_DIR"/*/served/*)/$$-$(echo "$stat" | cut -d" " -f22)';

describe('a token that the same parent asks for again', () => {
  test.each([
    { name: 'is not given twice', script: '"$@"; "$@"', runs: 1 },
    { name: 'is given to each of two parents', script: '"$@"; sh -c \'"$@"; exit $?\' child "$@"', runs: 0 },
    { name: 'is not given where the note is a pipe', script: `${OWN_NOTE}; mkfifo "$note"; "$@"`, runs: 1 },
    { name: 'is not given where the note is a link', script: `${OWN_NOTE}; ln -s /dev/null "$note"; "$@"`, runs: 1 },
  ])('$name', { timeout: 120_000 }, async ({ script, runs }) => {
    expect(await askBoth({ name: '', cache: signIn, script })).toEqual(SHELLS.map(() => runs));
  });

  test('was noted by the full program, and the front reads the note', async () => {
    signIn();
    const script = `'${process.execPath}' '${PROGRAM}' ${usual().join(' ')}; "$@"`;
    const asked = await stage.askFront(['/bin/sh'], { script });
    expect(asked).toMatchObject({ fullRuns: 1, code: 1 });
    expect(asked.stdout.trim().split('\n')).toHaveLength(1);
  });
});

test('the checks of the front do not affect the full program: folder, standard input and file mode are those of the caller', async () => {
  signIn();
  const lib = join(stage.home, 'lib/portcullis/portcullis');
  writeFileSync(lib, '#!/bin/sh\npwd; cat; umask; echo "$PPID $*"\n');
  chmodSync(lib, 0o755);
  for (const shell of SHELLS) {
    // It runs twice: the second run goes through every check before the full program.
    const { stdout } = await stage.askFront(shell, {
      script: 'umask 027; "$@" >/dev/null </dev/null; echo "$$"; "$@"',
    });
    const [own, ...lines] = stdout.split('\n');
    expect(lines.join('\n')).toBe(`${stage.home}\nwhat kubectl was given0027\n${own} ${usual().join(' ')}\n`);
  }
});
