import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchedWithout, ROOT } from '../chaos/broken-copy.ts';
import { BROKEN_TOURS } from '../fixtures/changed-sources.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';

/** @param nodeOptions for every program of it */
async function runTour(
  directory: string,
  nodeOptions?: string,
): Promise<{ readonly code: number; readonly output: string }> {
  const args = ['demo/main.ts', '--tour', '--dir', directory, '--port-base', String(await freePortBase())];
  const env = { ...process.env, ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }) };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? -1, output };
}

describe('the tour', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('runs the whole tour, checks each claim of it, and exits 0', async () => {
    const { code, output } = await runTour(join(folder, 'good'));
    expect(code, output).toBe(0);
    expect(output).toMatch(/\d+ claims held/);
    expect(output).toMatch(/the watch was cut/);
    expect(output).toMatch(/the exec was cut/);
    // It is left out where there is no redis-server.
    expect(output).toMatch(/✓ portcullis-c notices that its lease has run out/);
  });

  it.each(BROKEN_TOURS)('exits 1 when $name, and names the claim that did not hold', async (safeguard) => {
    await using changed = await launchedWithout(safeguard);
    const { code, output } = await runTour(join(folder, 'broken'), changed.option);
    expect(code, output).toBe(1);
    expect(output).toMatch(new RegExp(`✗ .*(?:${safeguard.fails.source})`));
  });
});
