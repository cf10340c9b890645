import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Terminal } from '../../../../demo/tour/terminal.ts';

/** A terminal in which `kubectl` is this script. */
async function terminalWith(script: string): Promise<Terminal> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-terminal-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const kubectl = join(directory, 'kubectl');
  await writeFile(kubectl, `#!/bin/sh\n${script}\n`);
  await chmod(kubectl, 0o755);
  vi.stubEnv('PATH', `${directory}:${process.env['PATH']}`);
  const at = (name: string): string => join(directory, name);
  return new Terminal(
    {
      directory,
      config: at('portcullis.yaml'),
      kubeconfig: at('kubeconfig'),
      auditLog: at('audit.log'),
      rejectedLog: at('audit.log.rejected'),
      command: at('portcullis'),
      clientSecret: 'unused',
    },
    'alice',
  );
}

describe('a command that goes on in a terminal', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('has ended when its last output is read, and not before', async () => {
    // What it leaves behind holds the pipe and writes once the command itself is gone.
    const terminal = await terminalWith('(while kill -0 $$ 2>/dev/null; do sleep 0.01; done; echo late) &');
    const { code, output } = await terminal.openKubectl('get', 'pods').ended;
    expect({ code, output }).toEqual({ code: 0, output: 'late\n' });
  });

  it('keeps no clock running for output that can no longer come', async () => {
    const terminal = await terminalWith('exit 3');
    const clocks = vi.spyOn(globalThis, 'setTimeout');
    const stopped = vi.spyOn(globalThis, 'clearTimeout');
    await expect(terminal.openKubectl().waitFor(/never/)).rejects.toThrow('a command ended with 3');
    const clock: unknown = clocks.mock.results.at(-1)?.value;
    expect(stopped.mock.calls.flat()).toContain(clock);
  });
});
