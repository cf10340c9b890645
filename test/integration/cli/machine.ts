/** The machine of a user for one test: a home, a cache, a browser, and programs that run the plugin. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCliContext } from '../../../src/cli/context.ts';
import { readEnvironment } from '../../../src/cli/environment.ts';
import { plainLines } from '../../../src/cli/terminal/plain-text.ts';
import { bareEnvironment } from '../../support/bare-environment.ts';
import { PROGRAM } from '../../support/built-program.ts';

const browser = fileURLToPath(new URL('./browser.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Tab {
  readonly status: number;
  readonly at: string;
  readonly text: string;
}

export class Machine {
  readonly home = mkdtempSync(join(tmpdir(), 'portcullis-cli-'));
  readonly cacheDir = join(this.home, 'cache');
  /** Messages of every run, for the search for secrets. */
  private readonly message: string[] = [];
  env: Record<string, string> = {};

  /** Each run has its own parent process, as with kubectl. */
  run(...args: readonly string[]): Promise<Ended> {
    return this.ended(this.startUnderShell(...args));
  }

  startUnderShell(...args: readonly string[]): ChildProcess {
    return this.start(['sh', '-c', '"$0" "$@"; exit $?', process.execPath, PROGRAM, ...args]);
  }

  /** Writes a command that runs this program, for a kubeconfig. */
  installCommand(): string {
    const command = join(this.home, 'portcullis');
    writeFileSync(command, `#!/bin/sh\nexec ${process.execPath} ${PROGRAM} "$@"\n`, { mode: 0o700 });
    return command;
  }

  kubectl(...args: readonly string[]): Promise<Ended> {
    return this.ended(this.start(['kubectl', ...args]));
  }

  /** Several commands one after another under one parent; the output of all together. */
  runUnderOneParent(times: number, ...args: readonly string[]): Promise<Ended> {
    const script = `code=0; ${'"$0" "$@" || code=$?; '.repeat(times)} exit $code`;
    return this.ended(this.start(['sh', '-c', script, process.execPath, PROGRAM, ...args]));
  }

  /** The plugin as a child of this process. */
  startPlugin(...args: readonly string[]): ChildProcess {
    return this.start([process.execPath, PROGRAM, ...args]);
  }

  /** The plugin with a terminal for all three streams; what it writes to any comes out of stdout, and stdin is typed. */
  startAtTerminal(...args: readonly string[]): ChildProcess {
    const command = [process.execPath, PROGRAM, ...args].map((text) => `'${text.replaceAll("'", `'\\''`)}'`).join(' ');
    return this.start(['script', '--quiet', '--return', '--command', `exec ${command}`, '/dev/null'], 'pipe');
  }

  /**
   * Runs `login` in this process, as a user whose browser does not open and who goes to the address by hand. For tests that are about what comes
   * after it.
   */
  async signIn(server: string): Promise<void> {
    const { login } = await import('../../../src/cli/commands/sign-in-commands.ts');
    const visits: Promise<unknown>[] = [];
    const notify = (message: string): void => {
      this.message.push(plainLines(message));
      const address = /^ +(http:\S+)$/m.exec(message)?.[1];
      if (address !== undefined) visits.push(fetch(address).then((page) => page.text()));
    };
    const environment = readEnvironment({ ...this.environment, BROWSER: 'true' }, process.platform, this.home);
    await login({ ...createCliContext(), environment, notify, showProgress: () => () => undefined }, { server });
    await Promise.all(visits);
  }

  private get environment(): Record<string, string> {
    return {
      ...bareEnvironment(),
      HOME: this.home,
      PORTCULLIS_CACHE_DIR: this.cacheDir,
      BROWSER: `${process.execPath} ${browser} ${this.tabsFile}`,
      ...this.env,
    };
  }

  private start([file, ...args]: readonly [string, ...string[]], stdin: 'ignore' | 'pipe' = 'ignore'): ChildProcess {
    return spawn(file, args, { stdio: [stdin, 'pipe', 'pipe'], env: this.environment });
  }

  ended(child: ChildProcess): Promise<Ended> {
    return new Promise((resolve, reject) => {
      let stdout = '';
      let stderr = '';
      child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
      child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
      child.once('error', reject);
      child.once('close', (code) => {
        this.message.push(stderr);
        resolve({ code, stdout, stderr });
      });
    });
  }

  private get tabsFile(): string {
    return join(this.home, 'tabs');
  }

  /** The last pages of the browser. */
  get tabs(): Tab[] {
    try {
      return readFileSync(this.tabsFile, 'utf8')
        .trim()
        .split('\n')
        .map((line): Tab => JSON.parse(line));
    } catch {
      return [];
    }
  }

  /** The content of the cache, without locks. */
  get cachedFiles(): string[] {
    return readdirSync(this.cacheDir, { recursive: true, withFileTypes: true })
      .filter((found) => found.isFile())
      .map((found) => join(found.parentPath, found.name));
  }

  private get sessionFile(): string {
    const name = readdirSync(this.cacheDir).find((file) => /^[0-9a-f]{32}$/.test(file));
    return join(this.cacheDir, name ?? 'none', 'session.json');
  }

  get session(): { tokens: Record<string, { token: string; receivedAt: number; expiresAt: number }> } | undefined {
    try {
      return JSON.parse(readFileSync(this.sessionFile, 'utf8'));
    } catch {
      return undefined;
    }
  }

  /** Makes every cached token older. */
  age(seconds: number): void {
    const { session } = this;
    if (session === undefined) throw new Error('no user is signed in');
    for (const token of Object.values(session.tokens)) {
      token.receivedAt -= seconds * 1000;
      token.expiresAt -= seconds * 1000;
    }
    writeFileSync(this.sessionFile, JSON.stringify(session), { mode: 0o600 });
  }

  /** Throws when a message for users contains one of the secrets, or a control character. */
  checkOutput(secrets: readonly string[]): void {
    const all = this.message.join('\n');
    if (secrets.some((secret) => all.includes(secret))) throw new Error('messages for users hold a secret');
    if (/\p{Cc}/u.test(all.replaceAll('\n', ''))) throw new Error('messages for users hold a control character');
  }

  remove(): void {
    // A browser of an earlier command may still be writing down its tab.
    rmSync(this.home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
