import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { environmentDocument } from '../../../src/config/environment.ts';
import { ensureAuditKey, generateKeys } from '../../../src/config/generate-keys.ts';
import { auditJwkSet, loadAuditKeys, loadAuditPublicKeys } from '../../../src/config/keys.ts';
import { rotateKeys } from '../../../src/config/rotate-keys.ts';
import { temporaryDirectory } from './sandbox.ts';

const NOW = 1_800_000_000;

const directories = () => {
  const base = temporaryDirectory();
  const at = (name: string): string => join(base, 'keys', name);
  return { signingDir: at('signing'), sealingDir: at('sealing'), auditDir: at('audit'), base };
};

const parsed = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;

describe('the audit log’s keys', () => {
  test('are made with the others, readable for their owner only', async () => {
    const where = directories();
    const [, , file = ''] = await generateKeys({ ...where, now: NOW });
    expect(file).toContain(where.auditDir);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const keys = await loadAuditKeys(where.auditDir, NOW);
    expect(keys).toMatchObject({ issuedAt: NOW, current: { kid: parsed(file)['kid'] } });
  });

  test('are made where an older installation has none, and left alone where there is one', async () => {
    const { auditDir } = directories();
    await ensureAuditKey(auditDir, NOW);
    await ensureAuditKey(auditDir, NOW);
    expect(readdirSync(auditDir)).toHaveLength(1);
  });

  test('rotate: the new one signs ten minutes later, the one before it is retired at the next rotation, and all verify', async () => {
    const where = directories();
    await rotateKeys({ ...where, now: NOW });
    const first = (await loadAuditKeys(where.auditDir, NOW)).current.kid;
    expect((await rotateKeys({ ...where, now: NOW + 1000 })).retired).toEqual([]);
    expect((await loadAuditKeys(where.auditDir, NOW + 1000)).current.kid).toBe(first);
    const second = (await loadAuditKeys(where.auditDir, NOW + 1600)).current.kid;
    expect(second).not.toBe(first);

    const { made, retired } = await rotateKeys({ ...where, now: NOW + 2000 });
    expect(made).toHaveLength(3);
    expect(retired).toEqual([join(where.auditDir, `${first}.json`)]);
    expect(parsed(retired[0] ?? '')).not.toHaveProperty('d');
    expect(statSync(retired[0] ?? '').mode & 0o777).toBe(0o600);
    expect((await loadAuditKeys(where.auditDir, NOW + 2000)).current.kid).toBe(second);
    expect([...(await loadAuditPublicKeys(where.auditDir)).keys()]).toEqual(expect.arrayContaining([first, second]));
  });

  test('are given to a verifier without their private part, as a folder, a set or one key', async () => {
    const where = directories();
    await rotateKeys({ ...where, now: NOW });
    const set = await auditJwkSet(where.auditDir);
    expect(JSON.stringify(set)).not.toContain('"d"');
    for (const content of [set, set.keys[0]]) {
      const file = join(where.base, 'public.json');
      writeFileSync(file, JSON.stringify(content));
      expect(await loadAuditPublicKeys(file)).toEqual(await loadAuditPublicKeys(where.auditDir));
    }
  });

  test.each([
    ['nothing', '{}'],
    ['no key', '{"keys":[]}'],
    ['a key without a name', '{"kty":"EC","crv":"P-256","x":"a","y":"b"}'],
    ['a point that is on no curve', '{"kty":"EC","crv":"P-256","kid":"a","x":"AAAA","y":"AAAA"}'],
    ['no JSON', 'canary'],
  ])('are refused: %s', async (_, content) => {
    const file = join(temporaryDirectory(), 'public.json');
    writeFileSync(file, content);
    await expect(loadAuditPublicKeys(file)).rejects.toMatchObject({ reason: 'keys_unusable' });
    await expect(loadAuditPublicKeys(file)).rejects.not.toThrow('canary');
  });

  test('need one that can sign', async () => {
    const where = directories();
    await rotateKeys({ ...where, now: NOW });
    const [name = ''] = readdirSync(where.auditDir);
    const { d, ...rest } = parsed(join(where.auditDir, name));
    expect(d).toBeDefined();
    writeFileSync(join(where.auditDir, name), JSON.stringify(rest));
    await expect(loadAuditKeys(where.auditDir, NOW)).rejects.toThrow('keys rotate');
  });

  test('are below PORTCULLIS_KEYS_DIR where they are there', async () => {
    const where = directories();
    const env = { PORTCULLIS_KEYS_DIR: 'keys' };
    expect(environmentDocument(env, where.base).root['keys']).not.toHaveProperty('auditDir');
    await ensureAuditKey(where.auditDir, NOW);
    expect(environmentDocument(env, where.base).root['keys']).toMatchObject({ auditDir: 'keys/audit' });
  });
});
