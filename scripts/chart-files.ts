/**
 * Copies into the chart what it shares with the rest of the repository, because a chart holds no file from outside its folder:
 * `node scripts/chart-files.ts`. A unit test compares the two.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import * as z from 'zod';
import { configuration } from '../src/config/schema.ts';
import { metaOf, unwrapped } from '../src/config/section.ts';
import { RULES_OF } from '../src/core/http/constrained-read.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

export const CHART_FILES = `${ROOT}deploy/chart/files/`;
export const CHART_YAML = `${ROOT}deploy/chart/Chart.yaml`;
export const CHART_SCHEMA = `${ROOT}deploy/chart/values.schema.json`;

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

/** Values of the chart that take what a setting takes. */
const SHARED: readonly (readonly [value: string, setting: string])[] = [
  ['api.proxyProtocol', 'listen.api.proxyProtocol'],
  ['providers[].type', 'providers[].type'],
  ['providers[].clientAuth', 'providers[].clientAuth'],
  ['clusters[].impersonate.constrained', 'clusters[].impersonate.constrained'],
  ['redis.nodes', 'store.redis.nodes'],
  ['redis.prefix', 'store.redis.prefix'],
];

/** Sections of which the chart mounts the files: in place of `xFile` it has `x`, a Secret. */
const MOUNTED: readonly (readonly [value: string, section: string, definition: string])[] = [
  ['providers[]', 'providers[]', 'secret'],
  ['clusters[]', 'clusters[]', 'secret'],
  ['redis', 'store.redis', 'optionalSecret'],
];

interface JsonSchema {
  enum?: unknown;
  pattern?: unknown;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  $ref?: string;
}

/** @returns values.schema.json with what the configuration's schema says of the values that go into it */
export function chartSchema(): string {
  const schema = JSON.parse(readFileSync(CHART_SCHEMA, 'utf8')) as JsonSchema;
  for (const [value, setting] of SHARED) {
    const { enum: choice, anyOf, pattern } = z.toJSONSchema(settingAt(setting));
    const allowed = choice ?? anyOf?.map((one) => (one as { readonly const?: unknown }).const);
    Object.assign(valueAt(schema, value), allowed === undefined ? { pattern } : { enum: allowed });
  }
  for (const [value, setting, definition] of MOUNTED) {
    const section = settingAt(setting);
    const { properties = {} } = valueAt(schema, value);
    for (const [key, one] of section instanceof z.ZodObject ? Object.entries(section.shape) : []) {
      if (metaOf(one).file !== undefined)
        properties[key.replace(/File$/, '')] = { $ref: `#/definitions/${definition}` };
    }
  }
  return `${printed(schema)}\n`;
}

const steps = (path: string): readonly string[] => path.replaceAll('[]', '.[]').split('.');

function settingAt(path: string): z.core.$ZodType {
  let type: z.core.$ZodType | undefined = configuration;
  for (const step of steps(path)) {
    if (type instanceof z.ZodObject) type = type.shape[step];
    else if (type instanceof z.ZodArray) type = type.element;
    if (type === undefined) throw new Error(`there is no setting ${path}`);
    type = unwrapped(type);
  }
  return type;
}

function valueAt(schema: JsonSchema, path: string): JsonSchema {
  let value: JsonSchema | undefined = schema;
  for (const step of steps(path)) value = step === '[]' ? value?.items : value?.properties?.[step];
  if (value === undefined) throw new Error(`the chart has no value ${path}`);
  return value;
}

/**
 * As the formatter has it: an object or a list in one line where that fits.
 * @param around characters beside it in its line
 */
function printed(value: unknown, indent = 0, around = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const isList = Array.isArray(value);
  const entries = Object.entries(value).map(([key, one]) => ({ key: isList ? '' : `${JSON.stringify(key)}: `, one }));
  const line = entries.map(({ key, one }) => `${key}${printed(one, -Infinity)}`).join(', ');
  const whole = isList ? `[${line}]` : line === '' ? '{}' : `{ ${line} }`;
  if (indent + around + whole.length <= 120) return whole;
  const rows = entries.map(({ key, one }, index) => {
    const comma = index === entries.length - 1 ? 0 : 1;
    return `${' '.repeat(indent + 2)}${key}${printed(one, indent + 2, key.length + comma)}`;
  });
  return `${isList ? '[' : '{'}\n${rows.join(',\n')}\n${' '.repeat(indent)}${isList ? ']' : '}'}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of chartFiles()) {
    mkdirSync(dirname(`${CHART_FILES}${path}`), { recursive: true });
    writeFileSync(`${CHART_FILES}${path}`, text);
  }
  writeFileSync(CHART_SCHEMA, chartSchema());
  writeFileSync(CHART_YAML, readFileSync(CHART_YAML, 'utf8').replace(/^icon: .*$/m, chartIcon()));
}
