/**
 * Kubernetes' protobuf bodies, read into the same JSON objects that a JSON body gives. kubectl sends its reviews and several
 * `create` commands this way; answers are always JSON, which such clients accept too.
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding-idl
 */
import type { JsonObject, JsonValue } from '../objects/json.ts';
import { badRequest } from '../objects/status.ts';
import type { Field, FieldType, Message } from './schemas.ts';
import { SCHEMAS } from './schemas.ts';

/** Stands before every message: `k8s` and a zero byte. */
const MAGIC = Buffer.from('k8s\0');

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const broken = (): Error => badRequest('the body of the request is not valid protobuf');

/** Fields in the order they stand: varints as numbers, length-delimited ones as bytes. */
function* fields(bytes: Buffer): Generator<{ number: number; value: number | Buffer }> {
  let offset = 0;
  const varint = (): number => {
    let value = 0;
    // Ten bytes hold any 64-bit number; what lies beyond 53 bits loses precision, which no field here needs.
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[offset];
      if (byte === undefined) throw broken();
      offset += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw broken();
  };
  while (offset < bytes.length) {
    const key = varint();
    const wire = key % 8;
    const number = Math.floor(key / 8);
    if (wire === VARINT) yield { number, value: varint() };
    else if (wire === BYTES) {
      const length = varint();
      if (offset + length > bytes.length) throw broken();
      offset += length;
      yield { number, value: bytes.subarray(offset - length, offset) };
    } else if (wire === FIXED32 || wire === FIXED64) offset += wire === FIXED32 ? 4 : 8;
    else throw broken();
  }
}

function intOrString(bytes: Buffer): JsonValue {
  const parts = new Map([...fields(bytes)].map(({ number, value }) => [number, value]));
  const [kind, whole, text] = [parts.get(1) ?? 0, parts.get(2) ?? 0, parts.get(3)];
  return kind === 0 ? Number(whole) : Buffer.isBuffer(text) ? text.toString('utf8') : '';
}

function valueOf(type: FieldType, value: number | Buffer): JsonValue {
  if (type === 'int' || type === 'bool') {
    if (typeof value !== 'number') throw broken();
    return type === 'int' ? value : value !== 0;
  }
  if (typeof value === 'number') throw broken();
  if (type === 'string') return value.toString('utf8');
  if (type === 'bytes') return value.toString('base64');
  return type === 'intOrString' ? intOrString(value) : message(type, value);
}

/** A map's entry is a message of its own: 1 the key, 2 the value. */
function entry(type: FieldType, bytes: Buffer): [string, JsonValue] {
  const parts = new Map([...fields(bytes)].map(({ number, value }) => [number, value]));
  const key = parts.get(1) ?? Buffer.alloc(0);
  if (!Buffer.isBuffer(key)) throw broken();
  return [key.toString('utf8'), valueOf(type, parts.get(2) ?? Buffer.alloc(0))];
}

/** Go writes what is unset as empty; in JSON it is left out. */
const isUnset = (value: JsonValue): boolean => value === '' || value === 0;

function place(result: JsonObject, field: Field, value: number | Buffer): void {
  const present = result[field.name];
  if (field.shape === 'list') {
    result[field.name] = [...(Array.isArray(present) ? present : []), valueOf(field.type, value)];
  } else if (field.shape === 'map') {
    if (!Buffer.isBuffer(value)) throw broken();
    const [key, item] = entry(field.type, value);
    // As an own property `__proto__` would be harmless here and dangerous in the first merge.
    if (key !== '__proto__') result[field.name] = { ...(present as JsonObject | undefined), [key]: item };
  } else {
    const single = valueOf(field.type, value);
    if (!isUnset(single)) result[field.name] = single;
  }
}

function message(schema: Message, bytes: Buffer): JsonObject {
  const result: JsonObject = {};
  for (const { number, value } of fields(bytes)) {
    const field = schema[number];
    if (field !== undefined) place(result, field, value);
  }
  return result;
}

const TYPE_META: Message = {
  1: { name: 'apiVersion', type: 'string', shape: 'one' },
  2: { name: 'kind', type: 'string', shape: 'one' },
};

/**
 * @returns undefined for a kind that this server reads as JSON only
 * @throws StatusError 400 for what is no protobuf
 */
export function decodeProtobuf(bytes: Buffer): JsonObject | undefined {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw broken();
  const parts = new Map([...fields(bytes.subarray(MAGIC.length))].map(({ number, value }) => [number, value]));
  const [type, raw] = [parts.get(1), parts.get(2) ?? Buffer.alloc(0)];
  if (!Buffer.isBuffer(type) || !Buffer.isBuffer(raw)) throw broken();
  const { apiVersion, kind } = message(TYPE_META, type) as { apiVersion?: string; kind?: string };
  const schema = SCHEMAS[`${apiVersion} ${kind}`];
  return schema === undefined ? undefined : { apiVersion, kind, ...message(schema, raw) };
}
