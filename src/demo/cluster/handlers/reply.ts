/** Writing answers: as the object itself, or as a Table for people to read. */
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

/**
 * The first form in `Accept` that this server has.
 * @throws StatusError 406
 */
export function wantedForm(accept: string | undefined): 'object' | 'table' {
  for (const entry of (accept ?? '*/*').split(',')) {
    const [media = '', ...rest] = entry.split(';').map((part) => part.trim());
    const parameters = new Map(rest.map((part) => [part.split('=')[0] ?? '', part.split('=')[1] ?? '']));
    if (!JSON_TYPES.has(media)) continue;
    const as = parameters.get('as');
    if (as === undefined) return 'object';
    if (as === 'Table' && parameters.get('g') === 'meta.k8s.io' && parameters.get('v') === 'v1') return 'table';
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

/** One object, in the form that the caller wants. */
export function writeObject(parts: ClusterParts, call: ResourceCall, code: number, object: KubeObject): void {
  if (wantedForm(call.request.headers.accept) === 'object') return writeJson(call.response, code, object);
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

/** A list, in the form that the caller wants. */
export function writeList(
  parts: ClusterParts,
  call: ResourceCall,
  list: { items: KubeObject[]; resourceVersion: string },
): void {
  const { items, resourceVersion } = list;
  if (wantedForm(call.request.headers.accept) === 'table') {
    const include = includeObject(call.info.query);
    const table = { resource: call.resource, items, include, resourceVersion, now: parts.now(), headings: true };
    return writeJson(call.response, 200, tableOf(table));
  }
  writeJson(call.response, 200, {
    kind: `${call.resource.kind}List`,
    apiVersion: apiVersionOf(call.resource),
    metadata: { resourceVersion },
    items,
  });
}
