import { globSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MALFORMED_REASONS } from '../../../scripts/sign-in-reasons.ts';
import { ERROR_REFERENCE, errorReference, OAUTH_ERRORS, REGENERATE_ERRORS } from '../../../scripts/error-reference.ts';

const text = errorReference();

/** One item of a list, with the lines below it. */
const entryOf = (name: string): string =>
  /^(?:.*\n?)(?:  .*\n)*/.exec(text.split(`\n- \`${name}\`: `)[1] ?? '')?.[0] ?? '';

describe('the reference of error codes', () => {
  test('is what the code says', () => {
    const isSame = readFileSync(ERROR_REFERENCE, 'utf8') === text;
    expect(isSame, `docs/reference/error-codes.md is out of date: ${REGENERATE_ERRORS}`).toBe(true);
  });

  test.each([
    ['store_unavailable', '503, *', '503 `ServiceUnavailable`, *again*', 'Exit status: 1\n'],
    ['forbidden', '403, *', '403 `Forbidden`', 'Exit status: 3\n'],
    ['cluster_unknown', 'no cluster has this host or prefix', '404 `NotFound`'],
    ['username_reserved', 'the username begins with `system:`'],
  ])('has an entry for %s', (name, ...facts) => {
    for (const fact of facts) expect(entryOf(name)).toContain(fact);
  });

  test('shows one and the same response for every credential that is not a valid one of ours', () => {
    const responses = [
      'no_token',
      'foreign_token',
      'wrong_audience',
      'certificate_mismatch',
      'token_in_two_places',
    ].map((reason) => entryOf(reason).split('  - Response: ')[1]);
    expect(responses[0]).toContain('401 `Unauthorized`');
    expect(new Set(responses).size).toBe(1);
  });

  test('has every code of OAuth that our own endpoints throw', () => {
    const thrown = globSync('src/oauth/**/*.ts').flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/new errors\.([A-Z]\w+)\(/g)].map(([, name = '']) => name),
    );
    const codes = [...new Set(thrown)]
      .filter((name) => name !== 'OIDCProviderError')
      .map((name) => name.replaceAll(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase())
      .map((code) => (code === 'invalid_client_auth' ? 'invalid_client' : code));
    expect(codes).toContain('invalid_grant');
    expect(OAUTH_ERRORS.map(([code]) => code)).toEqual(expect.arrayContaining(codes));
  });

  const literals = (files: string, pattern: RegExp): readonly string[] => [
    ...new Set(
      globSync(files).flatMap((file) => [...readFileSync(file, 'utf8').matchAll(pattern)].map(([, word = '']) => word)),
    ),
  ];

  test('has every reason for which the form of a request can be rejected', () => {
    const reasons = literals('src/proxy/**/*.ts', /malformed\('[^']*', '([a-z0-9_]+)'/g);
    expect(reasons.length).toBeGreaterThan(8);
    expect([...MALFORMED_REASONS.keys()].toSorted()).toEqual(reasons.toSorted());
  });

  test('has every reason for which sign-ins, renewals and logouts can be rejected', () => {
    const modules = 'src/{idp,oauth,web/sign-in,web/browser,web/device}/**/*.ts';
    const reasons = [
      ...literals(modules, /reason: '([a-z_]+)'/g),
      ...literals(modules, /(?:unavailable|rejected|refused|misconfigured)\((?:\w+, )?\s*'([a-z_]+)'/g),
      ...literals(
        'src/idp/{failed-check,discovery}.ts',
        /'((?:id_token|userinfo|discovery|issuer|code|state)_[a-z_]+)'/g,
      ),
    ];
    expect(reasons).toEqual(
      expect.arrayContaining(['provider_mismatch', 'provider_unreachable', 'organization_missing', 'id_token_nonce']),
    );
    expect(reasons.filter((reason) => !text.includes(`\n- \`${reason}\`: `))).toEqual([]);
  });
});
