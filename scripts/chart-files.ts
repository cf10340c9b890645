/**
 * Copies into the chart what it shares with the rest of the repository, because a chart holds no file from outside its folder:
 * `node scripts/chart-files.ts`. A unit test compares the two.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { RULES_OF } from '../src/core/http/constrained-read.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

export const CHART_FILES = `${ROOT}deploy/chart/files/`;
export const CHART_YAML = `${ROOT}deploy/chart/Chart.yaml`;

/** @returns by its path below the chart's `files/`, what each file has to hold */
export function chartFiles(): ReadonlyMap<string, string> {
  const read = (path: string): string => readFileSync(`${ROOT}${path}`, 'utf8');
  const dashboards = readdirSync(`${ROOT}deploy/grafana`).filter((name) => name.endsWith('.json'));
  return new Map([
    ['rules.yaml', read('deploy/prometheus/rules.yaml')],
    ['constrained.yaml', stringify(RULES_OF, { aliasDuplicateObjects: false, singleQuote: true })],
    ['redis-commands', `${redisCommands(read('docs/reference/store-schema.md'))}\n`],
    ...dashboards.map((name): [string, string] => [`dashboards/${name}`, read(`deploy/grafana/${name}`)]),
  ]);
}

/** The icon of the pages as an address that needs no network; Helm and Artifact Hub take one such. */
export function chartIcon(): string {
  const icon = readFileSync(`${ROOT}src/web/assets/icon.svg`);
  return `icon: data:image/svg+xml;base64,${icon.toString('base64')}`;
}

/** What Portcullis' user of Redis may do, from the documented `ACL SETUSER` line: the suite of the store passes with exactly that. */
function redisCommands(page: string): string {
  const commands = /^ACL SETUSER portcullis .*? (\+.*)$/m.exec(page)?.[1];
  if (commands === undefined) throw new Error('docs/reference/store-schema.md has no line ACL SETUSER portcullis …');
  return commands;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of chartFiles()) {
    mkdirSync(dirname(`${CHART_FILES}${path}`), { recursive: true });
    writeFileSync(`${CHART_FILES}${path}`, text);
  }
  writeFileSync(CHART_YAML, readFileSync(CHART_YAML, 'utf8').replace(/^icon: .*$/m, chartIcon()));
}
