/**
 * Writes docs/images/tour.svg and its end, which does not move: `npm run tour-picture`. The tour runs in a real terminal, which util-linux' `script` records together with its timing,
 * and the recording becomes a picture that moves by CSS alone. Run it when what the tour says has changed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drawRecording } from './tour-picture/draw.ts';
import { readRecording } from './tour-picture/recording.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const IMAGES = join(ROOT, 'docs/images');
const COMMAND = 'npm run demo -- --tour';
const COLUMNS = 108;
const ROWS = 26;
const MOST_BYTES = 1_000_000;

const folder = await mkdtemp(join(tmpdir(), 'portcullis-tour-'));
try {
  const [output, timing] = [join(folder, 'output'), join(folder, 'timing')];
  const typed = `stty cols ${COLUMNS} rows ${ROWS}; ${COMMAND.replace('run', 'run --silent')} --dir '${folder}/demo'`;
  const record = `script --quiet --return --echo never --log-out '${output}' --log-timing '${timing}' --command "${typed}"`;
  // The tour prints the name of the machine, and this one's is no part of the picture: the tour gets another in a namespace of its own.
  const namespace = process.getuid?.() === 0 ? ['--uts'] : ['--user', '--map-root-user', '--uts'];
  const child = spawn('unshare', [...namespace, 'sh', '-c', `hostname laptop && exec ${record}`], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the tour ended with ${code}: a picture is made of one whose claims all held`);
  const frames = readRecording(await readFile(output), await readFile(timing, 'utf8'));
  for (const [name, moves] of [
    ['tour.svg', true],
    ['tour-end.svg', false],
  ] as const) {
    const path = join(IMAGES, name);
    await writeFile(path, drawRecording(frames, { command: COMMAND, columns: COLUMNS, rows: ROWS, moves }));
    const { size } = await stat(path);
    console.log(`${path}  ${(size / 1000).toFixed(0)} kB`);
    if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes, and may have ${MOST_BYTES}`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
