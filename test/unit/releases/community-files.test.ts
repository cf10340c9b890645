/** Files that the site where the repository is hosted reads: owners of code, forms, updates of dependencies. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../docs/markdown.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

describe('CODEOWNERS', () => {
  const LINE = /^# (\/\S*) (maintainers|security)$/gm;
  const lines = [...read('.github/CODEOWNERS').matchAll(LINE)].map(([, path = '', team = '']) => ({ path, team }));
  const isCovered = (file: string): boolean =>
    lines.findLast(({ path }) => `/${file}`.startsWith(path))?.team === 'security';

  test('names paths that exist, each once', () => {
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.filter(({ path }) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(new Set(lines.map(({ path }) => path)).size).toBe(lines.length);
  });

  test('gives each file with a safeguard or an invariant to security', () => {
    const files = globSync('src/**/*.{ts,lua}', { cwd: ROOT });
    const guarding = files.filter((file) => /\bsafeguard: |architecture\.md#invariant/.test(read(file)));
    expect(guarding.length).toBeGreaterThan(20);
    expect(guarding.filter((file) => !isCovered(file))).toEqual([]);
    // What is built and published, with whose code, and what handles credentials on a laptop.
    const built = globSync(['{,site/}package-lock.json', '.github/workflows/*', 'scripts/**/*.*', 'src/cli/**/*.ts'], {
      cwd: ROOT,
    });
    expect(built.length).toBeGreaterThan(100);
    expect([...built, '.npmrc', 'Dockerfile'].filter((file) => !isCovered(file))).toEqual([]);
  });

  test('becomes one in force by the command that it shows', () => {
    // As the expression of sed there.
    const inForce = read('.github/CODEOWNERS').replaceAll(LINE, '$1 @org/$2');
    const rules = inForce.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(rules).toHaveLength(lines.length);
    for (const rule of rules) expect(rule).toMatch(/^\/\S* @org\/(?:maintainers|security)$/);
  });
});

describe('issue forms', () => {
  interface Form {
    readonly name: string;
    readonly description: string;
    readonly body: readonly {
      readonly type: string;
      readonly id?: string;
      readonly attributes: Readonly<Record<string, unknown>>;
    }[];
  }
  const forms = globSync('.github/ISSUE_TEMPLATE/*.yml', { cwd: ROOT }).filter((path) => !path.endsWith('config.yml'));

  test.each(forms)('%s has what the site requires of a form', (path) => {
    const { name, description, body } = parse(read(path)) as Form;
    expect(name.length).toBeGreaterThan(3);
    expect(description.length).toBeLessThanOrEqual(200);
    const fields = body.filter(({ type }) => type !== 'markdown');
    expect(fields.map(({ attributes }) => attributes['label'])).toEqual(fields.map(() => expect.any(String)));
    expect(new Set(fields.map(({ id }) => id)).size).toBe(fields.length);
    expect(fields.every(({ type }) => ['dropdown', 'input', 'textarea', 'checkboxes'].includes(type))).toBe(true);
  });

  test('are the only way to an issue, and the first one leads a vulnerability and a secret elsewhere', () => {
    expect(parse(read('.github/ISSUE_TEMPLATE/config.yml'))).toEqual({ blank_issues_enabled: false });
    expect(read('.github/ISSUE_TEMPLATE/bug.yml')).toMatch(/SECURITY\.md[^]*Never paste/);
    expect(read('.github/pull_request_template.md')).toContain('SECURITY.md');
  });
});

describe('updates of dependencies', () => {
  interface Update {
    readonly 'package-ecosystem': string;
    readonly directory?: string;
    readonly directories?: readonly string[];
    readonly cooldown: { readonly 'default-days': number };
  }
  test('cover npm, actions and the base of the image, a week after a release', () => {
    const { version, updates } = parse(read('.github/dependabot.yml')) as {
      version: number;
      updates: readonly Update[];
    };
    expect(version).toBe(2);
    expect(updates.map((one) => one['package-ecosystem'])).toEqual(['npm', 'github-actions', 'docker']);
    const locked = globSync('{,*/}package-lock.json', { cwd: ROOT }).map((path) =>
      `/${dirname(path)}`.replace('/.', '/'),
    );
    expect(updates[0]?.directories?.toSorted()).toEqual(locked.toSorted());
    for (const { directory, directories, cooldown } of updates) {
      expect(directory ?? directories?.[0]).toBe('/');
      expect(cooldown['default-days']).toBeGreaterThanOrEqual(7);
    }
  });

  test('docs/dependencies.md has every production dependency, each under where it is loaded', () => {
    const { dependencies, optionalDependencies } = JSON.parse(read('package.json')) as Record<
      string,
      Record<string, string>
    >;
    const [, server = '', laptop = ''] =
      /## On the server\n([^]*?)\n## On users' machines only\n([^]*?)\n## /.exec(read('docs/dependencies.md')) ?? [];
    const namesIn = (text: string): readonly string[] =>
      [...text.matchAll(/^- `([^`]+)`: /gm)].map(([, name = '']) => name).toSorted();
    expect(namesIn(server)).toEqual(Object.keys(dependencies ?? {}).toSorted());
    expect(namesIn(laptop)).toEqual(Object.keys(optionalDependencies ?? {}).toSorted());
  });
});
