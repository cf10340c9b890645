/** Writes responses: the object itself, or a Table for terminals. */
import type { ServerResponse } from 'node:http';

import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest, notAcceptable } from '../objects/status.ts';
import type { StatusError } from '../objects/status.ts';
import { apiVersionOf } from '../resources.ts';
import { tableOf } from '../tables/table.ts';
import type { IncludeObject } from '../tables/table.ts';
import type { ClusterParts, ResourceCall } from './call.ts';

const JSON_TYPES = new Set(['application/json', 'application/*', '*/*']);

export type Form = 'object' | 'table' | 'metadata';

/** As `Accept` spells them; the last is of one object, the one before of a list. */
const FORMS: Readonly<Record<string, Form>> = {
  Table: 'table',
  PartialObjectMetadataList: 'metadata',
  PartialObjectMetadata: 'metadata',
};

/**
 * The first form in `Accept` that this server has.
 * @throws StatusError 406
 */
export function wantedForm(accept: string | undefined): Form {
  for (const entry of (accept ?? '*/*').split(',')) {
    const [media = '', ...rest] = entry.split(';').map((part) => part.trim());
    const parameters = new Map(rest.map((part) => [part.split('=')[0] ?? '', part.split('=')[1] ?? '']));
    if (!JSON_TYPES.has(media)) continue;
    const as = parameters.get('as');
    if (as === undefined) return 'object';
    const form = Object.hasOwn(FORMS, as) ? FORMS[as] : undefined;
    if (form !== undefined && parameters.get('g') === 'meta.k8s.io' && parameters.get('v') === 'v1') return form;
  }
  throw notAcceptable(['application/json', 'application/json;as=Table;v=v1;g=meta.k8s.io']);
}

export function includeObject(query: URLSearchParams): IncludeObject {
  const value = query.get('includeObject') ?? 'Metadata';
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(value)}`);
}

export function writeJson(response: ServerResponse, code: number, body: JsonObject, type = 'application/json'): void {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
  response.writeHead(code, {
    'content-type': type,
    'content-length': bytes.length,
    'cache-control': 'no-cache, private',
  });
  response.end(bytes);
}

export const writeStatus = (response: ServerResponse, error: StatusError): void =>
  writeJson(response, error.status.code, error.status);

/** meta.k8s.io/v1 PartialObjectMetadata: what an object is called, and nothing of what is in it. */
export const metadataOf = ({ metadata }: KubeObject): JsonObject => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata,
});

/** One object, in the form that the caller wants. */
export function writeObject(parts: ClusterParts, call: ResourceCall, code: number, object: KubeObject): void {
  const form = wantedForm(call.request.headers.accept);
  if (form === 'object') return writeJson(call.response, code, object);
  if (form === 'metadata') return writeJson(call.response, code, metadataOf(object));
  writeJson(
    call.response,
    code,
    tableOf({
      resource: call.resource,
      items: [object],
      include: includeObject(call.info.query),
      resourceVersion: object.metadata.resourceVersion ?? '',
      now: parts.now(),
      headings: true,
    }),
  );
}

/** Some of the objects that were asked for. */
export interface List {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
  /** Where the next page begins; absent: this was the last. */
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** A list, in the form that the caller wants. */
export function writeList(parts: ClusterParts, call: ResourceCall, list: List): void {
  const { items, ...metadata } = list;
  const { resourceVersion } = list;
  const form = wantedForm(call.request.headers.accept);
  if (form === 'metadata') {
    const partial = { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata };
    return writeJson(call.response, 200, { ...partial, items: items.map(metadataOf) });
  }
  if (form === 'table') {
    const include = includeObject(call.info.query);
    const table = { resource: call.resource, items, include, resourceVersion, now: parts.now(), headings: true };
    return writeJson(call.response, 200, { ...tableOf(table), metadata });
  }
  writeJson(call.response, 200, {
    kind: `${call.resource.kind}List`,
    apiVersion: apiVersionOf(call.resource),
    metadata,
    items: [...items],
  });
}
