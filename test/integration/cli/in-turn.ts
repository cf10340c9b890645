/** Runs command lines one after another in one process, each as if it were alone. Its argument has theirs, as JSON; its output says how each ended. */
import { writeFileSync } from 'node:fs';
import { createProgram } from '../../../src/program.ts';
import type { Ended } from './on-server.ts';

const ended: Ended[] = [];
for (const args of JSON.parse(process.argv[2] ?? '[]') as readonly string[][]) {
  let [stdout, stderr] = ['', ''];
  Object.assign(process.stdout, { write: (text: string) => ((stdout += text), true) });
  Object.assign(process.stderr, { write: (text: string) => ((stderr += text), true) });
  process.exitCode = 0;
  const program = await createProgram(process.env, args[0]);
  await program.parseAsync(args, { from: 'user' });
  ended.push({ code: process.exitCode, stdout, stderr });
}
process.exitCode = 0;
writeFileSync(process.stdout.fd, JSON.stringify(ended));
