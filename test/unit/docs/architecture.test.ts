/** docs/architecture.md and docs/revocation-protocol.md say what is there: modules, imports, and where each safeguard belongs. */
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readPage, ROOT } from './markdown.ts';

const modules = readdirSync(`${ROOT}src`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

const namesIn = (text: string): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

/** What each module may import, as the table has it. */
function importTable(page: string): ReadonlyMap<string, readonly string[]> {
  const rows = [...page.matchAll(/^\| (`.*) \| (.*) \|$/gm)];
  const table = new Map<string, readonly string[]>();
  for (const [, names = '', allowed = ''] of rows) {
    const listed = namesIn(allowed);
    const may = allowed.startsWith('all') ? modules.filter((name) => !listed.includes(name)) : listed;
    // A long list has a second row.
    for (const name of namesIn(names)) table.set(name, [...(table.get(name) ?? []), ...may]);
  }
  return table;
}

interface Import {
  readonly file: string;
  readonly target: string;
}

/** From where to where, as paths below `src`. Imports of types and `import()` are among them. */
const imports: readonly Import[] = globSync('*/**/*.ts', { cwd: `${ROOT}src` }).flatMap((file) =>
  [...readFileSync(`${ROOT}src/${file}`, 'utf8').matchAll(/(?:from|import|import\() ?'(\.[^']+)'/g)].map(
    ([, target = '']) => ({ file, target: posix.join(posix.dirname(file), target) }),
  ),
);

const moduleOf = (path: string): string => path.split('/', 1)[0] ?? '';

/** The service that a file belongs to; undefined for a file of another module. */
const serviceOf = (path: string): string | undefined => /^services\/([^/]+)\//.exec(path)?.[1];

const services = readdirSync(`${ROOT}src/services`);

const breaches = (table: ReadonlyMap<string, readonly string[]>): readonly string[] =>
  imports
    // `package.json`, of which some read the version, is in no module.
    .filter(({ file, target }) => moduleOf(target) !== '..' && moduleOf(target) !== moduleOf(file))
    .filter(({ file, target }) => table.get(moduleOf(file))?.includes(moduleOf(target)) !== true)
    .map(({ file, target }) => `${file} imports ${target}`);

/** The files in a circle of imports, or between two: what is left when each file that imports none of the others, or that none imports, is taken out. */
function inCircles(all: readonly Import[]): readonly string[] {
  const left = new Set(all.map(({ file }) => file));
  for (;;) {
    const among = all.filter(({ file, target }) => left.has(file) && left.has(target));
    const importing = new Set(among.map(({ file }) => file));
    const imported = new Set(among.map(({ target }) => target));
    const out = [...left].filter((file) => !importing.has(file) || !imported.has(file));
    if (out.length === 0) return [...left];
    for (const file of out) left.delete(file);
  }
}

describe('docs/architecture.md', () => {
  const page = readPage('docs/architecture.md');
  const table = importTable(page);

  test('has every module, in the list and in the table', () => {
    const listed = [...page.matchAll(/^- \[`([a-z-]+)`\]\(\.\.\/src\/\1\//gm)].map(([, name]) => name);
    expect(new Set(listed)).toEqual(new Set(modules));
    expect(new Set(table.keys())).toEqual(new Set(modules));
  });

  test('follows a thing from its begin to its end through eight files at most, of which each is there', () => {
    const walks = [...page.matchAll(/Files,\s+in\s+this\s+order:\s+([^]*?\.)\n\n/g)].map(([, text = '']) =>
      [...text.matchAll(/\]\(\.\.\/src\/([\w./-]+)\)/g)].map(([, path = '']) => path),
    );
    expect(walks).toHaveLength(5);
    for (const files of walks) {
      expect(files.length).toBeLessThanOrEqual(8);
      expect(files.filter((path) => !existsSync(`${ROOT}src/${path}`))).toEqual([]);
    }
  });

  test.each([
    { what: 'A provider', most: 3, example: /\b(?:okta|keycloak)\b/i },
    { what: 'A limit of delegated sessions', most: 8, example: /\bsourceCidrs\b/ },
    // Where every sink is told from all others; a command asks whether there is a log to look at.
    { what: 'An audit sink', most: 4, example: /'stdout'/, beside: 'commands/store-changes.ts' },
    {
      what: 'An operation of an API',
      most: 5,
      example: /\b(?:listLocks|lockViews|lockViewSchema|LockView|showLocks)\b|locked accounts \(/,
    },
  ])('names every file that knows one, and $most at most: $what', ({ what, most, example, beside }) => {
    const section = page.slice(page.indexOf(`- **${what}**`)).split('\n- **')[0] ?? '';
    const listed = [...section.matchAll(/\]\(\.\.\/src\/([\w./-]+)\)/g)].map(([, path]) => path);
    const code = (file: string): string =>
      readFileSync(`${ROOT}src/${file}`, 'utf8').replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '');
    const knowing = globSync('**/*.ts', { cwd: `${ROOT}src` }).filter((file) => example.test(code(file)));
    expect(new Set(knowing.filter((file) => file !== beside))).toEqual(new Set(listed));
    expect(listed.length).toBeLessThanOrEqual(most);
  });

  test('links to the entry file of each module, which says what it owns and what it must not know', () => {
    const entries = [...page.matchAll(/^- \[`[a-z-]+`\]\(\.\.\/(src\/[\w./-]+)\)/gm)].map(([, path = '']) => path);
    expect(entries).toHaveLength(modules.length);
    const ofServices = services.map((name) => `src/services/${name}/${name}.ts`);
    for (const path of ofServices) expect(page).toContain(`](../${path})`);
    const heads = [...new Set([...entries, ...ofServices])].map((path) => ({
      path,
      head: readPage(path).split('*/', 1)[0] ?? '',
    }));
    expect(
      heads.filter(({ head }) => !/\bOwns\b/.test(head) || !/\bMust\s+(?:\*\s+)?not\s+(?:\*\s+)?know\b/.test(head)),
    ).toEqual([]);
  });

  test('needs no lists of files in headers, because each file begins with what it is', () => {
    const heads = globSync('**/*.ts', { cwd: `${ROOT}src` }).map((file) => {
      const text = readFileSync(`${ROOT}src/${file}`, 'utf8').replace(/^#!.*\n/, '');
      return { file, head: text.startsWith('/**') ? (text.split('*/', 1)[0] ?? '') : '' };
    });
    expect(heads.filter(({ head }) => head === '').map(({ file }) => file)).toEqual([]);
    expect(heads.filter(({ head }) => /^ \* - [^(]*`[\w-]+\.ts`/m.test(head)).map(({ file }) => file)).toEqual([]);
  });

  test('allows every import that there is', () => {
    expect(imports.length).toBeGreaterThan(1000);
    expect(breaches(table)).toEqual([]);
  });

  test('allows no import that there is not: what a module may no longer need is taken out', () => {
    const used = new Set(imports.map(({ file, target }) => `${moduleOf(file)} ${moduleOf(target)}`));
    const listed = [...table].flatMap(([name, may]) => may.map((other) => `${name} ${other}`));
    expect(listed.filter((pair) => !used.has(pair))).toEqual([]);
  });

  test('has no circle of imports: the linter does not see those that `import()` closes', () => {
    expect(inCircles(imports)).toEqual([]);
    const [first] = imports;
    const back = { file: first?.target ?? '', target: first?.file ?? '' };
    expect(inCircles([...imports, back])).toEqual(expect.arrayContaining([back.file, back.target]));
  });

  test('a service knows no Express', () => {
    const files = globSync('services/**/*.ts', { cwd: `${ROOT}src` });
    expect(files.length).toBeGreaterThan(40);
    expect(files.filter((file) => /from 'express'/.test(readFileSync(`${ROOT}src/${file}`, 'utf8')))).toEqual([]);
  });

  test('a service is imported by its entry file alone, and imports those that it may', () => {
    const crossing = imports.filter(
      ({ file, target }) => serviceOf(target) !== undefined && serviceOf(file) !== serviceOf(target),
    );
    expect(crossing.length).toBeGreaterThan(50);
    const entryOf = (target: string): string => `services/${serviceOf(target)}/${serviceOf(target)}.ts`;
    expect(crossing.filter(({ target }) => target !== entryOf(target))).toEqual([]);
    const between = crossing.flatMap(({ file, target }) => {
      const from = serviceOf(file);
      return from === undefined ? [] : [`${from} imports ${serviceOf(target)}`];
    });
    expect([...new Set(between)]).toEqual(['access imports admin']);
    const only = imports.filter(({ target }) => ['idp', 'egress'].includes(moduleOf(target)));
    const users = only.flatMap(({ file, target }) => {
      const from = serviceOf(file);
      return from === undefined ? [] : [`${from} ${moduleOf(target)}`];
    });
    expect(new Set(users)).toEqual(new Set(['admin idp', 'access egress']));
  });

  test('below server, nothing imports an implementation of the store or a part of the configuration', () => {
    const below = new Set(['audit', 'api', 'services', 'http', 'idp', 'revocation', 'proxy', 'oauth', 'web']);
    const inner = imports.filter(({ file, target }) => below.has(moduleOf(file)) && /^(store|config)\//.test(target));
    expect(inner.filter(({ target }) => target !== 'store/store.ts' && target !== 'config/config.ts')).toEqual([]);
  });

  test('would find an import that it does not allow', () => {
    const without = importTable(page.replace('| `contracts`, `core`, `timing`, `egress`, `config` |', '| `core` |'));
    expect(breaches(without)).toContainEqual(expect.stringMatching(/^idp\/.* imports timing\//));
  });
});

describe('docs/revocation-protocol.md', () => {
  const page = readPage('docs/revocation-protocol.md');

  /** Its lines of one kind, from `- Model:` to the next item. */
  const items = (kind: string): readonly string[] =>
    [...page.matchAll(new RegExp(`^- ${kind}: (?:.|\\n(?!-|\\n|$))*`, 'gm'))].map(([item]) => item);

  test('says of every rule where it is, which model checks it and which test', () => {
    const rules = page.split(/^### /m).slice(1);
    expect(rules.length).toBeGreaterThan(15);
    for (const rule of rules) expect(rule).toMatch(/^- Code: \[[^]*^- Model: [^]*^- Test: \[/m);
  });

  test('has every safeguard of every model beside the rule that it belongs to', () => {
    const named = items('Model').flatMap((item) =>
      [...item.matchAll(/\[`([\w-]+\.pml)`\][^[]*/g)].flatMap(([part, model = '']) =>
        namesIn(part.slice(part.indexOf(']') + 1))
          .filter((name) => /^[A-Z][A-Z0-9_]+$/.test(name))
          .map((name) => `${model} ${name}`),
      ),
    );
    const safeguards = globSync('*.pml', { cwd: `${ROOT}test/model` }).flatMap((model) =>
      [...readPage(`test/model/${model}`).matchAll(/^#ifn?def WITHOUT_(\w+)/gm)].map(([, name]) => `${model} ${name}`),
    );
    const beside = ['REPROMOTION', 'REPLICATION_ID', 'GAP'];
    expect(new Set(named.filter((name) => !beside.some((one) => name.endsWith(` ${one}`))))).toEqual(
      new Set(safeguards),
    );
  });

  test('names safeguards of the chaos tests that there are, and all of them', () => {
    const named = items('Test').flatMap((item) => namesIn(/chaos ((?:`[A-Z_]+`(?:,\s+)?)+)/.exec(item)?.[1] ?? ''));
    const there = [...readPage('test/chaos/safeguards.ts').matchAll(/^export const ([A-Z_]+): Safeguard/gm)];
    // Not among them: one only takes time, and the other sets a clock.
    const others = new Set(['SLOW_JOIN', 'STORE_TIME']);
    expect(new Set(named)).toEqual(new Set(there.flatMap(([, name = '']) => (others.has(name) ? [] : [name]))));
  });
});
