import { mkdirSync, writeFileSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stage } from '../integration/cli/setup.ts';
import { bareEnvironment } from '../support/bare-environment.ts';
import { PROGRAM } from '../support/built-program.ts';
import { ShellTerminal } from '../support/shell-terminal.ts';

const at = stage();
const run = promisify(execFile);

let bin: string;
let environment: NodeJS.ProcessEnv;
let terminal: ShellTerminal | undefined;

/** Puts the program on PATH as an installation does: as itself and as kubectl's plugin. */
beforeEach(async () => {
  bin = join(at.machine.home, 'bin');
  mkdirSync(bin);
  for (const name of ['portcullis', 'kubectl-portcullis']) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`, { mode: 0o755 });
  }
  environment = {
    ...bareEnvironment(),
    PATH: [bin, process.env['PATH']].join(delimiter),
    HOME: at.machine.home,
    PORTCULLIS_CACHE_DIR: at.machine.cacheDir,
    PS1: 'ready> ',
    // What bash writes when it ends must not come back into a home that is gone.
    HISTFILE: '/dev/null',
  };
  const { stdout } = await run(join(bin, 'portcullis'), ['completion', 'kubectl'], { env: environment });
  writeFileSync(join(bin, 'kubectl_complete-portcullis'), stdout, { mode: 0o755 });
  await at.login();
});

afterEach(async () => {
  await terminal?.close();
  terminal = undefined;
});

/** Opens the shell with completion loaded as the script's head says. */
async function open(shell: 'bash' | 'zsh' | 'fish'): Promise<ShellTerminal> {
  const start = {
    bash: 'bash --norc --noprofile -i',
    zsh: 'zsh -f -i',
    fish: 'fish --no-config --private -i',
  };
  const load = {
    bash: 'source <(portcullis completion bash)',
    zsh: "PS1='ready> '; autoload -Uz compinit && compinit -u -D; source <(portcullis completion zsh); source <(kubectl completion zsh)",
    fish: 'function fish_prompt; echo -n "ready> "; end; portcullis completion fish | source',
  };
  const opened = new ShellTerminal(start[shell], environment);
  terminal = opened;
  await opened.until(/[>#%$] /);
  opened.type(`${load[shell]}; echo lo''aded\n`);
  await opened.until(/loaded\s+(?:.*\s)?ready> /);
  return opened;
}

/** Types the beginning of a line and a Tab, and takes the line away again when it is complete. @returns the line */
async function complete(shell: ShellTerminal, typed: string, rest: string): Promise<string> {
  shell.type(`${typed}\t`);
  const whole = `${typed}${rest}`.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const shown = await shell.until(new RegExp(`${whole} ?$`));
  shell.type('\u0015');
  return shown.trimEnd();
}

test.each(['bash', 'zsh', 'fish'] as const)(
  'a real %s completes commands, options and values, those of the cache without a server, names of files where an option wants one, and shows several candidates',
  async (name) => {
    await at.fakeServer.stop();
    const { web } = at.fakeServer;
    writeFileSync(join(at.machine.home, 'security.pem'), '');
    const shell = await open(name);
    for (const [typed, rest] of [
      ['portcullis who', 'ami'],
      ['portcullis login --ca', '-file'],
      ['portcullis whoami --output y', 'aml'],
      ['portcullis whoami --output=y', 'aml'],
      ['portcullis get-token --cluster st', 'aging'],
      ['portcullis access app', 'rove'],
      ['portcullis delegate --read-only --cluster st', 'aging'],
      [`portcullis delegate --rules ${at.machine.home}/secur`, 'ity.pem'],
      [`portcullis whoami --server ${web.slice(0, -3)}`, web.slice(-3)],
      [`portcullis login --ca-file ${at.machine.home}/secur`, 'ity.pem'],
    ] as const) {
      expect(await complete(shell, typed, rest), typed).toContain(`${typed}${rest}`);
    }
    shell.type('portcullis lo\t\t');
    expect(await shell.until(/logout/)).toMatch(/lock/);
  },
);

describe('kubectl portcullis', () => {
  test('completes in a real zsh', async () => {
    const shell = await open('zsh');
    for (const [typed, rest] of [
      ['kubectl portcullis who', 'ami'],
      ['kubectl portcullis get-token --cluster st', 'aging'],
    ] as const) {
      expect(await complete(shell, typed, rest), typed).toContain(`${typed}${rest}`);
    }
  });

  test('is what kubectl asks its plugin for', async () => {
    const { stdout } = await run('kubectl', ['__complete', 'portcullis', 'lock'], { env: environment });
    expect(stdout).toMatch(/^lock\t/m);
    expect(stdout).toMatch(/^:4$/m);
  });
});
