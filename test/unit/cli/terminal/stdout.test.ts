import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MODULE = fileURLToPath(new URL('../../../../src/cli/terminal/stdout.ts', import.meta.url));

test('a reader that closes it is no error: no stack, and the exit status is the command’s own', async () => {
  const script = `import { writeStdout } from ${JSON.stringify(MODULE)};
for (let count = 0; count < 3; count += 1) writeStdout('x'.repeat(1_000_000));
process.exitCode = 3;`;
  const child = spawn(process.execPath, ['--input-type', 'module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stdout.once('data', () => child.stdout.destroy());
  const [code] = await once(child, 'close');
  expect([code, said]).toEqual([3, '']);
});
