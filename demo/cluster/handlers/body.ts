/** Reading a request's body: bounded, and only in the media types that the operation knows. */
import type { IncomingMessage } from 'node:http';

import { badRequest, tooLarge, unsupportedMediaType } from '../objects/status.ts';
import { decodeProtobuf } from '../protobuf/decode.ts';
import { isJsonObject, parseJson } from '../objects/json.ts';
import type { JsonObject, JsonValue } from '../objects/json.ts';

/** The API server's own bound. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const mediaType = (request: IncomingMessage): string =>
  (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';

function parsed(type: string, bytes: Buffer): JsonValue {
  if (type === PROTOBUF) {
    const value = decodeProtobuf(bytes);
    if (value === undefined) throw unsupportedMediaType(['application/json']);
    return value;
  }
  try {
    return parseJson(bytes.toString('utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message : 'not JSON';
    throw badRequest(`the object provided is unrecognized: couldn't parse the body as JSON: ${why}`);
  }
}

/**
 * @param accepted media types; the first stands for a body that names none
 * @throws StatusError 400 for what is no JSON, 413, 415
 */
export async function readJson(
  request: IncomingMessage,
  accepted: readonly [string, ...string[]],
): Promise<{ type: string; value: JsonValue | undefined }> {
  const type = mediaType(request) || accepted[0];
  const bytes = await bytesOf(request);
  if (bytes.length === 0) return { type, value: undefined };
  if (!accepted.includes(type)) throw unsupportedMediaType(accepted);
  return { type, value: parsed(type, bytes) };
}

/** An object as JSON or protobuf, or undefined where there is no body. */
export async function readObject(request: IncomingMessage): Promise<JsonObject | undefined> {
  const { value } = await readJson(request, ['application/json', PROTOBUF]);
  if (value === undefined || isJsonObject(value)) return value;
  throw badRequest('the object provided is unrecognized: the body must be a JSON object');
}
