/** Every setting of the schema, in its order: its path, what it takes, its default. */
import * as z from 'zod';
import * as schema from '../src/config/schema.ts';
import { origin } from '../src/config/values.ts';

export interface Setting {
  /** Such as `providers[].usernamePrefix`. */
  readonly path: string;
  /** The description that a validation error gives. */
  readonly accepts: string;
  readonly needed: boolean;
  /** As it is written in a file; `none` for an empty list. Undefined where the schema has none. */
  readonly default: string | undefined;
}

/** One row a top-level setting; a new one does not compile until it is here. */
const SECTIONS: Readonly<Record<(typeof schema.TOP_LEVEL)[number], z.ZodType>> = {
  publicUrl: origin,
  listen: schema.listen,
  store: schema.store,
  keys: schema.keys,
  providers: z.array(schema.provider),
  clusters: z.array(schema.cluster),
  consoles: z.array(schema.console),
  workload: z.array(schema.workload),
  outbound: schema.outbound,
  admin: schema.admin,
  sessions: schema.sessions,
  delegation: schema.delegation,
  access: schema.access,
  stepUp: schema.stepUp,
  revocation: schema.revocation,
  audit: schema.audit,
  limits: schema.limits,
  shutdown: schema.shutdown,
  telemetry: schema.telemetry,
  clockSkew: schema.clockSkew,
  contact: schema.contact,
  installUrl: schema.installUrl,
};

/** Every setting that has a value of its own. One of two types of sink stands there once, with what either takes. */
export function settings(): readonly Setting[] {
  const all = new Map<string, Setting>();
  for (const setting of schema.TOP_LEVEL.flatMap((key) => below(SECTIONS[key], key))) {
    const other = all.get(setting.path);
    const accepts = new Set([...(other === undefined ? [] : [other.accepts]), setting.accepts]);
    all.set(setting.path, { ...setting, accepts: [...accepts].join(', ') });
  }
  return [...all.values()];
}

function below(type: z.core.$ZodType, path: string): readonly Setting[] {
  const { inner, needed, value } = unwrapped(type);
  if (inner instanceof z.ZodObject && Object.keys(inner.shape).length > 0) {
    return Object.entries(inner.shape).flatMap(([key, one]) => below(one, `${path}.${key}`));
  }
  const own = { path, accepts: accepted(inner), needed, default: value };
  // A word, or a section in its place.
  const inPlace = inner instanceof z.ZodUnion ? inner.options.filter((option) => option instanceof z.ZodObject) : [];
  if (!(inner instanceof z.ZodArray)) return [own, ...inPlace.flatMap((option) => below(option, path))];
  const item = inner.element;
  const shapes: readonly z.core.$ZodType[] = item instanceof z.ZodDiscriminatedUnion ? item.options : [item];
  const isSection = shapes.every((shape) => shape instanceof z.ZodObject);
  // A list of sections at the top has its section; one further down has its own entry, for its description and its default.
  const self = isSection && schema.TOP_LEVEL.some((key) => key === path) ? [] : [own];
  return isSection ? [...self, ...shapes.flatMap((shape) => below(shape, `${path}[]`))] : self;
}

interface Unwrapped {
  readonly inner: z.core.$ZodType;
  readonly needed: boolean;
  readonly value: string | undefined;
}

function unwrapped(type: z.core.$ZodType): Unwrapped {
  if (type instanceof z.ZodOptional) return { ...unwrapped(type.unwrap()), needed: false };
  if (type instanceof z.ZodDefault || type instanceof z.ZodPrefault) {
    return { inner: unwrapped(type.unwrap()).inner, needed: false, value: written(type.def.defaultValue) };
  }
  return { inner: type, needed: true, value: undefined };
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
  const items = type instanceof z.ZodArray ? unwrapped(type.element).inner : undefined;
  const expected = WRONG.map((wrong) => z.safeParse(type, wrong).error?.issues[0]?.message).find(
    (one) => one !== undefined,
  );
  if (expected === undefined) throw new Error('a setting that takes anything');
  return items === undefined || items instanceof z.ZodObject || items instanceof z.ZodDiscriminatedUnion
    ? expected
    : `${expected}; each: ${accepted(items)}`;
}
