/** The learner's shells: one small file a terminal, to be read into it with `.`, so that no variables have to be typed. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunningDemo } from '../launch.ts';
import type { LessonTerminal } from './lesson.ts';

const BROWSER = fileURLToPath(new URL('../headless-browser.ts', import.meta.url));

/** Single quotes for sh. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Writes `as-NAME` for each. Nothing in them is secret. */
export async function writeTerminals(demo: RunningDemo, terminals: readonly LessonTerminal[]): Promise<void> {
  const { files } = demo;
  const browser = join(dirname(files.command), 'demo-browser');
  // By the demo's own node: the learner's may be too old to run sources.
  const script = `#!/bin/sh\nexec ${quoted(process.execPath)} ${quoted(BROWSER)} "$1"\n`;
  await writeFile(browser, script, { mode: 0o755 });
  for (const terminal of terminals) {
    await writeFile(join(files.directory, `as-${terminal.name}`), terminalFile(demo, browser, terminal));
  }
}

function terminalFile({ files, urls, cluster }: RunningDemo, browser: string, terminal: LessonTerminal): string {
  const cache = join(files.directory, 'cache', terminal.laptopOf ?? terminal.name);
  const lines = [
    `# A terminal of ${terminal.user}:  . as-${terminal.name}`,
    `export PATH=${quoted(dirname(files.command))}:"$PATH"`,
    `export KUBECONFIG=${quoted(files.kubeconfig)}`,
    `export PORTCULLIS_CACHE_DIR=${quoted(cache)}`,
    'export PORTCULLIS_CREDENTIAL_STORE=file',
    // What kubectl remembers of a cluster at this address may be of another demo.
    `export KUBECACHEDIR=${quoted(join(files.directory, 'cache', 'kubectl'))}`,
    `export DEMO=${quoted(files.directory)}`,
    // So that what a page says to type holds with other ports too.
    `export SERVER=${quoted(urls.api)} WEB=${quoted(urls.web)} CLUSTER=${quoted(cluster.upstream.server)}`,
    `export PORTCULLIS_DEMO_USER=${quoted(terminal.user)}`,
  ];
  if (terminal.browser === 'played') lines.push(`export BROWSER=${quoted(browser)}`);
  if (terminal.browser === 'none') lines.push('export PORTCULLIS_NO_BROWSER=1');
  return `${lines.join('\n')}\n`;
}
