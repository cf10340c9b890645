/** The first commands that README.md tells a new user to type, in a checkout. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { checkoutIn, linesOf, pageBlock } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';

let folder: string;
let shell: PageShell;
beforeAll(async () => {
  folder = await temporaryFolder();
  shell = new PageShell(await checkoutIn(folder), {});
});
afterAll(async () => {
  shell.close();
  await rm(folder, { recursive: true, force: true });
});

/** The command of the page, with free ports and the folder of this test. */
const DEMO = /^npm run demo +(?:-- )?/;
async function here(line: string): Promise<string> {
  return line.replace(DEMO, `npm run demo -- --port-base ${await freePortBase()} --dir '${join(folder, 'demo')}' `);
}

const [demo = '', tour = ''] = linesOf(pageBlock('README.md', 'npm run demo'));

it(`README.md: ${demo}`, async () => {
  const typed = shell.open(await here(demo));
  await typed.until(/kubectl get pods/);
  expect((await typed.interrupt()).all).toMatch(/Stopping …\n/);
});

// To its end, and claim by claim: test/e2e/tour.test.ts.
it(`README.md: ${tour}`, async () => {
  const typed = shell.open(await here(tour));
  await typed.until(/✓ [^\n]+\n[^]*✓ [^\n]+\n/);
  // What is interrupted is a claim that did not hold.
  expect(typed.all()).not.toContain('✗');
  await typed.interrupt();
});

it('README.md: npx prints nothing of npm’s own, whatever Node the machine has', async () => {
  const machine = (process.env['PATH'] ?? '').split(':').filter((folder) => !folder.endsWith('node_modules/.bin'));
  const { code, all } = await new PageShell(join(folder, 'checkout'), { PATH: machine.join(':') }).try(
    'npx portcullis --version',
  );
  expect({ code, all }).toEqual({ code: 0, all: `portcullis ${manifest.version}\n` });
});
