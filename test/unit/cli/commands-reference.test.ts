import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { cliReference, REFERENCE_FILE, REGENERATE, VARIABLES } from '../../../scripts/cli-reference.ts';
import { createUserProgram } from '../../../src/cli-package/program.ts';
import { createProgram } from '../../../src/program.ts';

const cli = fileURLToPath(new URL('../../../src/cli/', import.meta.url));

describe('the reference of the command line', () => {
  test('is what the commands say', () => {
    const now = cliReference(createProgram({}), createUserProgram());
    expect(readFileSync(REFERENCE_FILE, 'utf8') === now, `docs/reference/cli.md is out of date: ${REGENERATE}`).toBe(
      true,
    );
  });

  test('has a section for each command that is offered, and none for the others', () => {
    const text = cliReference(createProgram({}), createUserProgram());
    for (const name of ['get-token', 'config check', 'revoke', 'completion']) expect(text).toContain(`\n## ${name}\n`);
    for (const name of ['__complete', 'renew-token', 'help']) expect(text).not.toContain(`## ${name}\n`);
  });

  test('lists each command under the programs that have it', () => {
    const text = cliReference(createProgram({}), createUserProgram());
    const [, both = '', imageOnly = ''] =
      /### Package and image\n([^]*?)\n### Image only\n([^]*?)\n## /.exec(text) ?? [];
    for (const path of ['get-token', 'revoke', 'posture']) {
      expect(both).toContain(`[\`${path}\`]`);
      expect(imageOnly).not.toContain(`[\`${path}\`]`);
    }
    for (const path of ['serve', 'config check', 'keys rotate']) {
      expect(imageOnly).toContain(`[\`${path}\`]`);
      expect(both).not.toContain(`[\`${path}\`]`);
    }
  });

  test('has every variable that the module reads', () => {
    const sources = readdirSync(cli, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
    const read = sources.flatMap((name) =>
      [...readFileSync(`${cli}${name}`, 'utf8').matchAll(/\benv\[?\.?'?([A-Z][A-Z_]+)'?/g)].map(
        ([, variable]) => variable,
      ),
    );
    expect(read).toContain('PORTCULLIS_SERVER');
    expect([...new Set(read)].filter((variable) => variable !== undefined && !VARIABLES.has(variable))).toEqual([]);
  });
});
