import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClientKeys } from '../../../src/idp/client-keys.ts';
import { startWorkloadIssuer, type WorkloadIssuer } from '../../support/workload-issuer.ts';

const jwkOf = (kid: string): object => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }),
  kid,
});

let host: WorkloadIssuer;
let nowMs = Date.now();

beforeAll(async () => {
  host = await startWorkloadIssuer('https://portcullis.example.com');
});
afterAll(async () => {
  await host.close();
});

const keysAt = (path: string) =>
  createClientKeys({ url: `${host.issuer}${path}`, ca: () => host.ca, clock: { nowMs: () => nowMs } });

it('reads the keys once a minute, so that a key that was removed counts for a minute more', async () => {
  host.documents.set('/rotated', { keys: [jwkOf('one')] });
  const keys = keysAt('/rotated');
  const kids = async (): Promise<readonly unknown[]> => (await keys()).map(({ kid }) => kid);
  expect(await kids()).toEqual(['one']);
  host.documents.set('/rotated', { keys: [jwkOf('two')] });
  nowMs += 59_000;
  expect(await kids()).toEqual(['one']);
  nowMs += 1_000;
  expect(await kids()).toEqual(['two']);
  expect(host.asked.filter((path) => path === '/rotated')).toHaveLength(2);
});

it('accepts nothing by keys that could not be read again, and does not ask for a while', async () => {
  host.documents.set('/down', { keys: [jwkOf('one')] });
  const keys = keysAt('/down');
  await keys();
  host.documents.delete('/down');
  nowMs += 60_000;
  await expect(keys()).rejects.toMatchObject({ code: 'provider_unavailable', reason: 'client_keys_unavailable' });
  await expect(keys()).rejects.toMatchObject({ reason: 'client_keys_unavailable' });
  expect(host.asked.filter((path) => path === '/down')).toHaveLength(2);
  host.documents.set('/down', { keys: [jwkOf('two')] });
  nowMs += 10_000;
  expect(await keys()).toHaveLength(1);
});

it('is rejected with a private key among them', async () => {
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  host.documents.set('/private', { keys: [jwkOf('one'), jwk] });
  await expect(keysAt('/private')()).rejects.toMatchObject({ code: 'provider_unavailable' });
});

it.each(['https://169.254.169.254/jwks', 'https://[fd00:ec2::254]/jwks'])(
  'connects to no address of a cloud: %s',
  async (url) => {
    const keys = createClientKeys({ url, clock: { nowMs: () => nowMs } });
    const error = await keys().catch((thrown: unknown) => thrown);
    expect((error as { readonly cause?: unknown }).cause).toMatchObject({
      message: expect.stringMatching(/^refusing to connect/),
    });
  },
);
