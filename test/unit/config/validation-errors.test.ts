import { expect, test } from 'vitest';
import { settings as settingsOfSchema } from '../../../scripts/configuration-settings.ts';
import { mayHoldSecret } from '../../../src/config/file-settings.ts';
import { formatErrors } from '../../../src/config/load.ts';
import { configuration } from '../../../src/config/schema.ts';
import { errorsOf, settings } from './sandbox.ts';

test('errors are formatted one a line, in the order of the file', async () => {
  const text = formatErrors([
    { path: 'b', expected: 'x', line: 9 },
    { path: 'a', expected: 'y', got: '"z"', line: 2 },
    { path: '', expected: 'a configuration' },
  ]);
  expect(text).toBe(
    'The configuration has 3 errors:\n  - a configuration\n  - a (line 2): y, got "z"\n  - b (line 9): x',
  );
});

test('never shows a secret that stands where a file’s name belongs', async () => {
  const base = settings();
  Object.assign(base.clusters[0] ?? {}, { tokenFile: 'eyJ-canary' });
  Object.assign(base.providers[0] ?? {}, { clientSecretFile: 'hunter2/canary', clientSecret: 'canary' });
  base.store = { redis: { url: 'rediss://user:canary@redis.example.com', passwordFile: 'canary' } };
  base.listen.web['keyFile'] = '-----BEGIN PRIVATE KEY----- canary';
  const google = { name: 'g', type: 'google', clientId: 'x', serviceAccountFile: '{"private_key":"canary"}' };
  const notify = [{ name: 'chat', format: 'slack', urlFile: 'https://hooks.example.com/services/canary' }];
  const errors = await errorsOf({ ...base, providers: [...base.providers, google], access: { notify } });
  expect(errors.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['providers[1].serviceAccountFile', 'access.notify[0].urlFile', 'listen.web.keyFile']),
  );
  expect(formatErrors(errors)).not.toContain('canary');
});

test('takes each setting that is named like a secret for one', () => {
  const named = settingsOfSchema()
    .map(({ path }) => path)
    .filter((path) => /(?:secret|password|token|username|key|credentials)File$/i.test(path));
  expect(named.length).toBeGreaterThan(10);
  const steps = (path: string) => path.split(/\.|(?=\[)/).map((step) => (step === '[]' ? 0 : step));
  expect(named.filter((path) => !mayHoldSecret(configuration, steps(path)))).toEqual([]);
});
