/** The session cache of a command line, and the two ways to ask it: through the shell front, and by the full program alone. */
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureEntry, locateEntry, writeSession, type CacheEntry } from '../../src/cli/session/cache.ts';
import type { Binding, CachedSession, CachedToken } from '../../src/cli/session/session.ts';
import { bareEnvironment } from './bare-environment.ts';

const FRONT = fileURLToPath(new URL('../../src/cli-package/portcullis.sh', import.meta.url));

/** No server listens there, so whatever is not served from the cache fails immediately. */
export const SERVER = 'https://127.0.0.1:1/base';
export const CLUSTER = 'prod';

export interface Answer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** How often the full program was started. */
  readonly fullRuns: number;
}

export interface HandOver extends Answer {
  /** How the full program was started: arguments, folder, file mode and standard input; then each variable that the front was given. */
  readonly handed: readonly string[];
}

/** On standard input. */
const GIVEN = 'what kubectl was given';

/** Exit status of what stands in the full program's place and notes how it was started. */
const NOTED = 77;

export interface AskOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What the parent does; `"$@"` runs the command. */
  readonly script?: string;
}

export class FrontStage {
  readonly home = mkdtempSync(join(tmpdir(), 'portcullis-front-'));
  cacheDir = join(this.home, 'cache');
  /** Everything that was started with hostile data and obeyed it leaves this file. */
  readonly canary = join(this.home, 'canary');
  readonly caFile = join(this.home, 'ca.crt');
  private readonly log = join(this.home, 'full-runs');
  private readonly handed = join(this.home, 'handed');
  private readonly program: string;

  /** @param program what `buildProgram` made */
  constructor(program: string) {
    this.program = program;
    const lib = join(this.home, 'lib/portcullis');
    mkdirSync(lib, { recursive: true });
    mkdirSync(join(this.home, 'bin'));
    copyFileSync(FRONT, join(this.home, 'bin/portcullis'));
    chmodSync(join(this.home, 'bin/portcullis'), 0o755);
    const counted = `#!/bin/sh\necho run >>'${this.log}'\nexec '${process.execPath}' '${program}' "$@"\n`;
    writeFileSync(join(lib, 'portcullis'), counted, { mode: 0o755 });
    writeFileSync(this.caFile, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  }

  /** Signs in, as far as the cache is concerned. */
  signIn(
    token: Partial<CachedToken> = {},
    options: { readonly ca?: boolean; readonly binding?: Binding } = {},
  ): CacheEntry {
    const { caFile } = this;
    const entry = locateEntry(this.cacheDir, { url: SERVER, ...(options.ca === true ? { caFile } : {}) });
    ensureEntry(entry);
    writeSession(entry, {
      ...sessionOf({ ...freshToken(), ...token }),
      ...(options.binding && { binding: options.binding }),
    });
    return entry;
  }

  /** In its last minute, while another process renews it: otherwise a process in the background would. */
  signInToLastMinute(): void {
    const now = Date.now();
    const { dir } = this.signIn({ receivedAt: now - 245_000, expiresAt: now + 55_000 });
    for (const id of readdirSync(join(dir, 'served'))) {
      const note = join(dir, 'served', id, 'renewing');
      writeFileSync(note, '', { mode: 0o600 });
      utimesSync(note, now / 1000 + 9, now / 1000 + 9);
    }
  }

  get front(): string {
    return join(this.home, 'bin/portcullis');
  }

  /** Through the front, run by that shell. */
  askFront(shell: readonly string[], options: AskOptions = {}): Promise<Answer> {
    return this.ask([...shell, this.front], options);
  }

  /** The same with a program in the full one's place that notes how it was started. */
  async askHandOver(shell: readonly string[], options: AskOptions = {}): Promise<HandOver> {
    const full = join(this.home, 'lib/portcullis/portcullis');
    const kept = `${full}.kept`;
    renameSync(full, kept);
    const started = `printf '<%s>\\n' "$@"; pwd; umask; /bin/cat`;
    const noting = `#!/bin/sh\necho run >>'${this.log}'\n{ ${started}; } >'${this.handed}'\n/bin/cat /proc/$$/environ >'${this.handed}.env'\nexit ${NOTED}\n`;
    writeFileSync(full, noting, { mode: 0o755 });
    try {
      const answer = await this.askFront(shell, options);
      const { code, stdout, stderr } = answer;
      if (code !== NOTED || stdout !== '' || stderr !== '') throw new Error(`no hand-over: ${JSON.stringify(answer)}`);
      const given = new Set(Object.keys(this.environmentOf(options)));
      const variables = readFileSync(`${this.handed}.env`, 'utf8').split('\0');
      // A shell adds some of its own, such as the depth of shells.
      const passed = variables.filter((variable) => given.has(variable.split('=', 1)[0] ?? '')).toSorted();
      return { ...answer, handed: [readFileSync(this.handed, 'utf8'), ...passed] };
    } finally {
      renameSync(kept, full);
    }
  }

  /** What `handed` is where the full program is started as the front was. */
  startedBy(options: AskOptions): readonly string[] {
    const { args = usual() } = options;
    const umask = process.umask().toString(8).padStart(4, '0');
    const variables = Object.entries(this.environmentOf(options)).map(([name, value]) => `${name}=${value}`);
    return [`${args.map((each) => `<${each}>\n`).join('')}${this.home}\n${umask}\n${GIVEN}`, ...variables.toSorted()];
  }

  askFull(options: AskOptions = {}): Promise<Answer> {
    return this.ask([process.execPath, this.program], options);
  }

  /** A separate parent process for each, as with kubectl. */
  private async ask(command: readonly string[], options: AskOptions): Promise<Answer> {
    const { args = usual(), script = '"$@"' } = options;
    rmSync(this.log, { force: true });
    const child = spawn('/bin/sh', ['-c', `${script}\nexit $?`, 'parent', ...command, ...args], {
      cwd: this.home,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: this.environmentOf(options),
    });
    // A front that answers without reading may be gone by then (EPIPE).
    child.stdin.on('error', () => undefined).end(GIVEN);
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject).once('close', resolve);
    });
    const runs = existsSync(this.log) ? readFileSync(this.log, 'utf8').split('\n').length - 1 : 0;
    return { code, stdout, stderr, fullRuns: runs };
  }

  private environmentOf({ env = {} }: AskOptions): Record<string, string> {
    return {
      ...bareEnvironment(),
      HOME: this.home,
      PORTCULLIS_NO_BROWSER: '1',
      PORTCULLIS_CACHE_DIR: this.cacheDir,
      ...env,
    };
  }

  /** Copies of the cache as it is; each call of the result puts one in its place. */
  keepCache(copies: number): () => void {
    const kept = join(this.home, 'kept');
    const numbers = Array.from({ length: copies }, (_, number) => String(number));
    const isThere = lstatSync(this.cacheDir, { throwIfNoEntry: false }) !== undefined;
    // cp copies pipes, links and owners as well.
    const script = 'from=$1 to=$2; shift 2; for number; do cp -a "$from" "$to.$number" || exit; done';
    if (isThere) execFileSync('/bin/sh', ['-c', script, 'copy', this.cacheDir, kept, ...numbers]);
    return () => {
      rmSync(this.cacheDir, { recursive: true, force: true });
      if (isThere) renameSync(`${kept}.${numbers.pop()}`, this.cacheDir);
    };
  }

  /** The file that the front reads. */
  readyFile(entry: CacheEntry): string {
    const name = readdirSync(entry.dir).find((file) => file.startsWith('ready'));
    if (name === undefined) throw new Error('there is no ready file');
    return join(entry.dir, name);
  }

  remove(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** As our kubeconfigs have it. */
export const usual = (server = SERVER, cluster = CLUSTER): readonly string[] => [
  'get-token',
  '--server',
  server,
  '--cluster',
  cluster,
];

/** Of 5 minutes, received 10 s ago. */
function freshToken(): CachedToken {
  const now = Date.now();
  return { token: 'canary-token', receivedAt: now - 10_000, expiresAt: now + 290_000 };
}

const sessionOf = (token: CachedToken): CachedSession => ({
  server: SERVER,
  endpoints: { token: `${SERVER}/t`, revocation: `${SERVER}/r`, adminApi: `${SERVER}/a` },
  user: { sessionId: 's', sessionExpiresAt: 'x', account: 'c/1', username: 'u', groups: [], clusters: [] },
  refreshToken: 'refresh',
  binding: { certificate: 'CERT\n', privateKey: 'KEY\n' },
  tokens: { [`urn:portcullis:cluster:${CLUSTER}`]: token },
});
