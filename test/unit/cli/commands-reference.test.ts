import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { componentSchemas, queryParameters, type JsonSchema } from '../../../src/api/openapi.ts';
import { ADMIN_API } from '../../../src/core/api/admin-operations.ts';
import { operationsOf } from '../../../src/core/api/operation.ts';
import { cliReference, REFERENCE_FILE, REGENERATE, VARIABLES } from '../../../scripts/cli-reference.ts';
import { createUserProgram } from '../../../src/cli-package/program.ts';
import { createProgram } from '../../../src/program.ts';

const cli = fileURLToPath(new URL('../../../src/cli/', import.meta.url));

describe('the reference of the command line', () => {
  test('is what the commands say', async () => {
    const now = cliReference(await createProgram({}), await createUserProgram());
    expect(readFileSync(REFERENCE_FILE, 'utf8') === now, `docs/reference/cli.md is out of date: ${REGENERATE}`).toBe(
      true,
    );
  });

  test('has a section for each command that is offered, and none for the others', async () => {
    const text = cliReference(await createProgram({}), await createUserProgram());
    for (const name of ['get-token', 'config check', 'revoke', 'completion']) expect(text).toContain(`\n## ${name}\n`);
    for (const name of ['__complete', 'renew-token', 'help']) expect(text).not.toContain(`## ${name}\n`);
  });

  test('lists each command under the programs that have it', async () => {
    const text = cliReference(await createProgram({}), await createUserProgram());
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

describe('a command of an operation', () => {
  const reads = operationsOf(ADMIN_API).filter(([, { method }]) => method === 'GET');

  test('has no option but what its query takes, because each is sent', () => {
    const left = reads.flatMap(([, { command, query }]) => {
      const taken = query === undefined ? [] : queryParameters(query).map(({ name }) => name);
      const options = (command?.options ?? []).map(([flags]) => /--(?:no-)?([a-z-]+)/.exec(flags)?.[1]);
      return options.filter((name) => name !== 'output' && !taken.includes(name)).map((name) => [command?.name, name]);
    });
    expect(reads.filter(([, { command }]) => command !== undefined).length).toBeGreaterThan(3);
    expect(left).toEqual([]);
  });

  test('that shows a list has columns of what the rows have', () => {
    const schemas = componentSchemas(ADMIN_API);
    const at = ({ $ref = '' }: { readonly $ref?: string }): JsonSchema => schemas[$ref.split('/').at(-1) ?? ''] ?? {};
    const lists = reads.flatMap(([, { command, responses }]) =>
      command?.list === undefined ? [] : [{ list: command.list, response: schemas[responses[200]?.schema ?? ''] }],
    );
    for (const { list, response } of lists) {
      const parts = Object.entries(response?.['properties'] ?? {}) as [string, { readonly items: object }][];
      const rows = parts.find(([part]) => part === list.of)?.[1].items ?? {};
      const fields = Object.keys(at(rows)['properties'] ?? {});
      expect(fields, list.of).toEqual(expect.arrayContaining(Object.values(list.columns)));
    }
    expect(lists.map(({ list }) => list.of)).toContain('locks');
  });

  test('is not loaded for kubectl, which waits for a credential', async () => {
    for (const create of [(first: string) => createProgram({}, first), createUserProgram]) {
      const names = async (first: string) => (await create(first)).commands.map((command) => command.name());
      expect(await names('get-token')).not.toContain('locks');
      expect(await names('locks')).toEqual(await names('__complete'));
      expect(await names('locks')).toEqual(expect.arrayContaining(['get-token', 'locks', 'access', 'posture']));
    }
  });
});
