/** Every setting of the schema, in its order: its path, what it takes, its default, and what is said of it. */
import * as z from 'zod';
import { configuration } from '../src/config/schema.ts';
import { metaOf, unwrapped } from '../src/config/section.ts';

export interface Setting {
  /** Such as `providers[].usernamePrefix`. */
  readonly path: string;
  /** What it means. Empty where a setting lacks that, which `configurationReference` reports. */
  readonly text: string;
  /** The description that a validation error gives. */
  readonly accepts: string;
  readonly needed: boolean;
  /** As it is written in a file; `none` for an empty list. Undefined where the schema has none. */
  readonly default: string | undefined;
  /** As a text, where other settings decide. */
  readonly otherwise: string | undefined;
}

/** Every setting that has a value of its own. One of two types of sink stands there once, with what either takes. */
export function settings(): readonly Setting[] {
  const all = new Map<string, Setting>();
  for (const setting of below(configuration, '')) {
    const other = all.get(setting.path);
    const accepts = new Set([...(other === undefined ? [] : [other.accepts]), setting.accepts]);
    all.set(setting.path, { ...setting, text: other?.text || setting.text, accepts: [...accepts].join(', ') });
  }
  return [...all.values()];
}

function below(type: z.core.$ZodType, path: string): readonly Setting[] {
  const inner = unwrapped(type);
  if (inner instanceof z.ZodObject && Object.keys(inner.shape).length > 0) {
    return Object.entries(inner.shape).flatMap(([key, one]) => below(one, path === '' ? key : `${path}.${key}`));
  }
  const { text = '', default: otherwise } = metaOf(type);
  const own = { path, text, otherwise, accepts: accepted(inner), ...defaultOf(type) };
  // A word, or a section in its place.
  const inPlace = inner instanceof z.ZodUnion ? inner.options.filter((option) => option instanceof z.ZodObject) : [];
  if (!(inner instanceof z.ZodArray)) return [own, ...inPlace.flatMap((option) => below(option, path))];
  const item = inner.element;
  const shapes: readonly z.core.$ZodType[] = item instanceof z.ZodDiscriminatedUnion ? item.options : [item];
  const isSection = shapes.every((shape) => unwrapped(shape) instanceof z.ZodObject);
  // A list of sections at the top has its section; one further down has its own entry, for its description and its default.
  const self = isSection && Object.hasOwn(configuration.shape, path) ? [] : [own];
  return isSection ? [...self, ...shapes.flatMap((shape) => below(shape, `${path}[]`))] : self;
}

function defaultOf(type: z.core.$ZodType): { readonly needed: boolean; readonly default: string | undefined } {
  if (type instanceof z.core.$ZodDefault || type instanceof z.core.$ZodPrefault) {
    return { needed: false, default: written(type._zod.def.defaultValue) };
  }
  return { needed: !(type instanceof z.core.$ZodOptional), default: undefined };
}

/** A default as it is written in the file. */
function written(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(written).join(', ');
  if (typeof value !== 'object' || value === null) return String(value);
  if ('host' in value && 'port' in value) return `${String(value.host)}:${String(value.port)}`;
  if ('type' in value) return String(value.type);
  return 'none';
}

/** No setting accepts these: the validation error says what it does accept. */
const WRONG = ['\u0000 \n', Symbol('nothing')];

function accepted(type: z.core.$ZodType): string {
  if (type instanceof z.ZodLiteral) return [...type.values].map((value) => `\`${String(value)}\``).join(', ');
  const items = type instanceof z.ZodArray ? unwrapped(type.element) : undefined;
  const expected = WRONG.map((wrong) => z.safeParse(type, wrong).error?.issues[0]?.message).find(
    (one) => one !== undefined,
  );
  if (expected === undefined) throw new Error('a setting that takes anything');
  return items === undefined || items instanceof z.ZodObject || items instanceof z.ZodDiscriminatedUnion
    ? expected
    : `${expected}; each: ${accepted(items)}`;
}
