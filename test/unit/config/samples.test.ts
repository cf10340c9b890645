import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ENVIRONMENT_VARIABLES } from '../../../src/config/environment.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { configuration } from '../../../src/config/schema.ts';
import { settings } from '../../../scripts/configuration-settings.ts';
import { temporaryDirectory, writeFiles } from './sandbox.ts';

const root = join(import.meta.dirname, '../../..');

/** What is checked is what it should be. */
function contentOf(file: string): string {
  if (file.endsWith('/tickets-secret')) return `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
  return file.endsWith('/approvers-url') ? 'https://hooks.example.com/services/channel' : 'content';
}

/** The sample with its paths below a directory of the test, where every file that it names is made. */
function sample(name: string): { readonly text: string; readonly directory: string } {
  const directory = temporaryDirectory();
  const text = readFileSync(join(root, name), 'utf8')
    .replaceAll('/etc/portcullis', `${directory}/etc`)
    .replaceAll('/var/log/portcullis', `${directory}/log`);
  for (const [file] of text.matchAll(new RegExp(`${directory}/etc/[\\w./-]+`, 'g'))) {
    if (!/\/keys/.test(file)) writeFiles('/', { [file]: `${contentOf(file)}\n` });
  }
  for (const made of ['etc/keys/signing', 'etc/keys/sealing', 'etc/keys/audit', 'log'])
    mkdirSync(join(directory, made), { recursive: true });
  return { text, directory };
}

function dotenv(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

test('.env.example is a whole configuration and names every variable', async () => {
  const env = dotenv(sample('.env.example').text);
  expect(Object.keys(env).toSorted()).toEqual([...ENVIRONMENT_VARIABLES].toSorted());
  const outcome = await loadConfig({ env });
  expect(outcome).toMatchObject({ ok: true, value: { warnings: [] } });
});

test('deploy/examples/portcullis.yaml is a whole configuration', async () => {
  const { text, directory } = sample('deploy/examples/portcullis.yaml');
  const file = join(directory, 'portcullis.yaml');
  writeFiles('/', { [file]: text });
  expect(await loadConfig({ file, env: {} })).toMatchObject({ ok: true, value: { warnings: [] } });
});

test('deploy/examples/portcullis.yaml shows every setting of what each installation has', () => {
  const text = readFileSync(join(root, 'deploy/examples/portcullis.yaml'), 'utf8');
  const paths = settings().flatMap(({ path }) =>
    /^(?:listen|store|keys|providers|clusters)\b/.test(path) ? [path] : [],
  );
  const keys = [...Object.keys(configuration.shape), ...paths.map((path) => path.replace(/.*\./, ''))];
  expect(keys.length).toBeGreaterThan(80);
  expect(keys.filter((key) => !new RegExp(`\\b${key}:`).test(text))).toEqual([]);
});
