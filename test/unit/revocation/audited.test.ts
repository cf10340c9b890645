import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ROOT } from '../docs/markdown.ts';

/** The command line asks a server, and may import no guard (docs/architecture.md#who-may-import-whom). */
const sources = globSync('**/*.ts', { cwd: `${ROOT}src`, exclude: ['cli/**'] }).map((file) => ({
  file,
  code: readFileSync(`${ROOT}src/${file}`, 'utf8').replaceAll(/^ *(?:\/\*\*|\*|\/\/).*$/gm, ''),
}));

const using = (use: RegExp, all: typeof sources): readonly string[] =>
  all.flatMap(({ file, code }) => (use.test(code) ? [file] : [])).toSorted();

/** Also where the call is on a line of its own, and where the function is taken out of the guard first. */
const REVOKES = /\.\s*revoke\b|[\w)\]]\['revoke'\]|\b(?:const|let)\s*\{[^{}]*\brevoke\b[^{}]*\}\s*=/;
const WRITES = /\blog\s*\.\s*append\b/;

test('nothing ends a session without an event in the audit log before: all revoke through revokeAudited', () => {
  // The end of a grant is noted in the store before, and is done again and audited by any replica that finds the note.
  expect(using(REVOKES, sources)).toEqual([
    'revocation/audited.ts',
    'revocation/guard.ts',
    'services/access/end-grant.ts',
  ]);
  // The guard also writes that a session has expired. `store-changes.ts` writes again what got no reply.
  const writing = ['commands/store-changes.ts', 'revocation/guard.ts', 'revocation/revocations.ts'];
  expect(using(WRITES, sources)).toEqual(writing);
});

test.each([
  ['await deps.guard.revoke({ target });', REVOKES],
  ['await deps.guard\n    .revoke({ target })\n    .catch(log);', REVOKES],
  ["guard['revoke']({ target });", REVOKES],
  ['const { revoke } = deps.guard;', REVOKES],
  ['await store.log.append({ target });', WRITES],
])('would find %j', (code, use) => {
  expect(using(use, [...sources, { file: 'new.ts', code }])).toContain('new.ts');
});
