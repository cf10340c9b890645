import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePortBase, temporaryFolder } from '../support/instance.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

async function runTour(root: string, directory: string): Promise<{ readonly code: number; readonly output: string }> {
  const args = ['demo/main.ts', '--tour', '--dir', directory, '--port-base', String(await freePortBase())];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
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

  it('tells the whole story, each claim of it checked, and exits 0', async () => {
    const { code, output } = await runTour(ROOT, join(folder, 'good'));
    expect(code, output).toBe(0);
    expect(output).toMatch(/\d+ claims held/);
    expect(output).toMatch(/the watch was cut/);
    expect(output).toMatch(/the exec was cut/);
    // It is left out where there is no redis-server.
    expect(output).toMatch(/✓ portcullis-c notices that its lease has run out/);
  });

  /** A copy of the sources with one safeguard taken out: the tour must notice. */
  async function broken(name: string, file: string, edit: (source: string) => string): Promise<string> {
    const root = join(folder, name);
    await mkdir(root);
    for (const each of ['src', 'demo']) await cp(join(ROOT, each), join(root, each), { recursive: true });
    await cp(join(ROOT, 'package.json'), join(root, 'package.json'));
    for (const folder of ['node_modules', 'scripts']) await symlink(join(ROOT, folder), join(root, folder));
    const path = join(root, file);
    const source = await readFile(path, 'utf8');
    const edited = edit(source);
    expect(edited, `${file} no longer has what this test takes out`).not.toBe(source);
    await writeFile(path, edited);
    return root;
  }

  it.each([
    {
      name: 'the deny check is taken out',
      file: 'src/revocation/guard.ts',
      edit: (source: string) => source.replace(/return this\.#view\.covers\([^;]*;/, 'return undefined;'),
      fails: /it was the revocation guard that rejected her/,
    },
    {
      name: 'nothing is cut',
      file: 'src/revocation/registry.ts',
      edit: (source: string) => source.replace('entry.flight.cut(reason);', ''),
      fails: /the watch was cut/,
    },
    {
      name: 'a stream is audited as ended when it begins',
      file: 'src/proxy/request-audit.ts',
      edit: (source: string) =>
        source.replace(
          "this.#deps.audit.record(this.#event('ResponseStarted'));",
          "for (const stage of ['ResponseStarted', 'ResponseComplete'] as const) this.#deps.audit.record(this.#event(stage));",
        ),
      fails: /begun and not ended/,
    },
  ])('exits 1 when $name, and names the claim that did not hold', async ({ name, file, edit, fails }) => {
    const root = await broken(name.replaceAll(' ', '-'), file, edit);
    const { code, output } = await runTour(root, join(root, 'demo'));
    expect(code, output).toBe(1);
    expect(output).toMatch(new RegExp(`✗ .*(?:${fails.source})`));
  });
});
