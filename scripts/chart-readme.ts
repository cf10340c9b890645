/**
 * Writes deploy/chart/README.md from the chart's values.schema.json and values.yaml: `node scripts/chart-readme.ts`. A unit test compares the two.
 * What may be set and its form are the schema's, which Helm enforces; defaults and descriptions are those of the values.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMap, isScalar, parseDocument, type Document } from 'yaml';
import { wrapped } from './reference-layout.ts';

const CHART = fileURLToPath(new URL('../deploy/chart/', import.meta.url));

export const CHART_README = `${CHART}README.md`;

const HEAD = `# Portcullis, the chart

<!-- Written by \`node scripts/chart-readme.ts\` from values.schema.json and values.yaml. Do not edit. -->

A proxy in front of Kubernetes. Users sign in with their own identity provider, act as themselves, and are revoked
instantly. [Installing Portcullis](../../docs/install.md) goes through an installation step by step,
[GitOps](../../docs/gitops.md) has Argo CD, Flux and Terraform, and [three nodes](../../docs/ha-store.md) is about its
Redis.

- What has to be given: \`publicUrl\`, \`api.publicUrl\`, \`providers\`, \`clusters\`, \`redis\`, and Secrets for keys and
  certificates. No secret is ever written into the values: they name Secrets that are there already.
- Helm rejects an unknown or invalid value, and says where and why.
- \`helm test RELEASE\` asks, from a pod of the release, whether each replica is ready, whether browsers find sign-in at
  \`publicUrl\`, and whether each Kubernetes host has a valid certificate and is closed without a credential.
- \`helm uninstall\` leaves the Secrets and volumes of the chart's own Redis. Anyone who needs neither deletes them.

## Values
`;

interface Schema {
  readonly $ref?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
}

export interface ChartValue {
  /** With dots. */
  readonly path: string;
  /** Which values the schema admits. */
  readonly accepts: string;
  /** Absent where values.yaml has none. */
  readonly default: unknown;
  /** As in values.yaml, line by line, or of the schema. */
  readonly description: readonly string[];
}

/** Every value that the schema knows, in the order of values.yaml. */
export function chartValues(): readonly ChartValue[] {
  const schema = JSON.parse(readFileSync(`${CHART}values.schema.json`, 'utf8')) as Schema & {
    readonly definitions: Readonly<Record<string, Schema>>;
  };
  const values = parseDocument(readFileSync(`${CHART}values.yaml`, 'utf8'));
  const resolved = (one: Schema): Schema => {
    const name = one.$ref?.replace('#/definitions/', '');
    return name === undefined ? one : { ...schema.definitions[name], ...one };
  };
  const below = (parent: Schema, path: readonly string[]): readonly ChartValue[] =>
    inOrder(Object.keys(parent.properties ?? {}), values, path).flatMap((key): readonly ChartValue[] => {
      const one = resolved(parent.properties?.[key] ?? {});
      const place = [...path, key];
      const own = commentOf(values, place);
      const value: ChartValue = {
        path: place.join('.'),
        accepts: accepted(one),
        default: values.hasIn(place) ? valueAt(values, place) : undefined,
        description: own.length > 0 ? own : one.description === undefined ? [] : [one.description],
      };
      if (one.properties === undefined || one.title !== undefined) return [value];
      // A group is named where something is to be said about all of it.
      return [...(value.description.length > 0 ? [{ ...value, accepts: '' }] : []), ...below(one, place)];
    });
  return below(schema, []);
}

/** As in values.yaml; what is not there comes last. */
function inOrder(keys: readonly string[], values: Document, path: readonly string[]): readonly string[] {
  const map = path.length === 0 ? values.contents : values.getIn(path, true);
  const there = isMap(map) ? map.items.map(({ key }) => String(isScalar(key) ? key.value : key)) : [];
  return [...there.filter((key) => keys.includes(key)), ...keys.filter((key) => !there.includes(key))];
}

function valueAt(values: Document, path: readonly string[]): unknown {
  return path.reduce<unknown>((inside, key) => (inside as Record<string, unknown>)[key], values.toJS());
}

/** The comment above a key, as far as no empty line is between them. */
function commentOf(values: Document, path: readonly string[]): readonly string[] {
  const map = path.length === 1 ? values.contents : values.getIn(path.slice(0, -1), true);
  if (!isMap(map)) return [];
  const index = map.items.findIndex((item) => isScalar(item.key) && item.key.value === path.at(-1));
  const pair = map.items[index];
  // The comment of a block map's first key belongs to the map.
  const above =
    (isScalar(pair?.key) ? pair.key.commentBefore : undefined) ?? (index === 0 ? map.commentBefore : undefined);
  const text = (above ?? '').split('\n\n').at(-1) ?? '';
  return text === '' ? [] : text.split('\n').map((line) => line.replace(/^ /, ''));
}

const KINDS: ReadonlyMap<unknown, string> = new Map([
  ['boolean', '`true`, `false`'],
  ['array', 'a list'],
  ['object', 'an object, as in Kubernetes'],
  ['string', 'a text'],
  ['integer', 'a whole number'],
]);

function accepted({ title, enum: choice, type, minimum, maximum }: Schema): string {
  if (title !== undefined) return title;
  if (choice !== undefined) return choice.map(code).join(', ');
  const least = minimum === undefined ? '' : `, ${minimum} at least`;
  const most = maximum === undefined ? '' : `, ${maximum} at most`;
  return `${KINDS.get(type) ?? 'a text or a number'}${least}${most}`;
}

const code = (value: unknown): string =>
  value === '' ? "`''`" : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

/** The page. */
export function chartReadme(): string {
  return `${HEAD}\n${chartValues().map(row).join('\n')}\n`;
}

function row({ path, accepts, default: preset, description }: ChartValue): string {
  // What is set off with blanks is an example and what it is for.
  const examples = description.flatMap((line) =>
    [/^ {2,}(\w+: +\{.*\}) +(\S.*)$/.exec(line)].filter((found) => found !== null),
  );
  const prose = description
    .filter((line) => !/^ {2,}/.test(line))
    .join(' ')
    .replaceAll('*', String.raw`\*`);
  const facts = accepts === '' ? [] : [`${accepts}${preset === undefined ? '' : `; default ${shown(preset)}`}`];
  return [
    wrapped(prose === '' ? `\`${path}\`` : `\`${path}\`: ${prose}`, '- '),
    ...facts.map((text) => wrapped(text, '  - ')),
    ...examples.map(([, left = '', right = '']) => wrapped(`\`${left.replace(/ +/, ' ')}\` ${right}`, '  - ')),
  ].join('\n');
}

function shown(value: unknown): string {
  const text = code(value);
  return text.length > 90 ? 'in [values.yaml](values.yaml)' : text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(CHART_README, chartReadme());
