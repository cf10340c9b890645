import type { KoaContextWithOIDC } from 'oidc-provider';
import { expect, it } from 'vitest';
import { createRateLimiter } from '../../../src/core/rate-limit.ts';
import { metadataClients } from '../../../src/oauth/delegation/client-metadata.ts';

const asked: string[] = [];
const clients = (hosts: readonly string[]) =>
  metadataClients({
    hosts,
    outboundTo: (host) => async (url) => {
      asked.push(`${host} ${url}`);
      return new Response('{}');
    },
    limit: createRateLimiter(2, { nowMs: () => 0 }),
  });
const ctx = { req: { socket: { remoteAddress: '192.0.2.7' } } } as KoaContextWithOIDC;

it('is off where no host is listed', () => {
  expect(clients([])).toBe(undefined);
});

it('reads from listed hosts alone, whatever a document names', async () => {
  const { fetch } = clients(['app.example.com'])?.settings ?? {};
  await fetch?.('https://app.example.com/client.json', {});
  for (const url of ['https://169.254.169.254/', 'https://app.example.com.evil.example/', 'https://example.com/']) {
    await expect(fetch?.(url, {})).rejects.toThrow('is not listed');
  }
  expect(asked).toEqual(['app.example.com https://app.example.com/client.json']);
});

it('reads no document of another host, without a path or with a long address, and so many for one address', async () => {
  const { allowFetch } = clients(['app.example.com'])?.settings.feature ?? {};
  const allows = (id: string) => allowFetch?.(ctx, id);
  expect(allows('https://example.com/client.json')).toBe(false);
  expect(allows('https://app.example.com/')).toBe(false);
  expect(allows(`https://app.example.com/${'a'.repeat(300)}`)).toBe(false);
  for (const spelled of ['HTTPS://app.example.com/x', 'https://APP.example.com/x', 'https://app.example.com:443/x']) {
    expect(allows(spelled)).toBe(false);
    expect(clients(['app.example.com'])?.isId(spelled)).toBe(true);
  }
  const good = [1, 2, 3].map((index) => allows(`https://app.example.com/${index}`));
  expect(good).toEqual([true, true, false]);
});
