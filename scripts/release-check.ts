/**
 * Says whether a tag can be released: `npm run release:check -- --tag v1.2.3 [--notes FILE]`.
 *
 * The version has to be the same wherever it is written, and the changelog has to have a part for it, which `--notes`
 * writes as the text of the release. Exits 1 with every difference.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Returns each place that states the version, with what it states. */
function statedVersions(): readonly (readonly [place: string, version: unknown])[] {
  const manifest = JSON.parse(read('package.json')) as Record<string, unknown>;
  const lock = JSON.parse(read('package-lock.json')) as Record<string, unknown>;
  const chart = parse(read('deploy/chart/Chart.yaml')) as Record<string, unknown>;
  return [
    ['package.json', manifest['version']],
    ['package-lock.json', lock['version']],
    ['deploy/chart/Chart.yaml, version', chart['version']],
    ['deploy/chart/Chart.yaml, appVersion', chart['appVersion']],
    ['Dockerfile, label', /image\.version="([^"]*)"/.exec(read('Dockerfile'))?.[1]],
  ];
}

/** Returns the part of the changelog between the heading of the version and the next one. */
function notesFor(version: string): string | undefined {
  const parts = read('CHANGELOG.md').split(/^## /m);
  const part = parts.find((text) => text.startsWith(`${version} `) || text.startsWith(`[${version}] `));
  return part?.slice(part.indexOf('\n')).trim();
}

const { values } = parseArgs({ options: { tag: { type: 'string' }, notes: { type: 'string' } } });
const version = /^v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)$/.exec(values.tag ?? '')?.[1];
if (version === undefined) {
  console.error('usage: npm run release:check -- --tag v1.2.3 [--notes FILE]');
  process.exit(2);
}
const notes = notesFor(version);
const errors = [
  ...statedVersions().flatMap(([place, stated]) => (stated === version ? [] : [`${place}: ${String(stated)}`])),
  ...(notes === undefined || notes === '' ? [`CHANGELOG.md: no part "## ${version} - DATE"`] : []),
];
for (const error of errors) console.error(`portcullis: not ${version} in ${error}`);
process.exitCode = errors.length === 0 ? 0 : 1;
if (errors.length === 0 && notes !== undefined && values.notes !== undefined) {
  mkdirSync(dirname(resolve(values.notes)), { recursive: true });
  writeFileSync(values.notes, `${notes}\n`);
}
