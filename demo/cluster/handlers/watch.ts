/** Watch: what changed, one JSON line each, until the caller, the timeout or the cluster ends it. */
import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest, StatusError } from '../objects/status.ts';
import { apiVersionOf } from '../resources.ts';
import type { Selector } from '../storage/selectors.ts';
import { selectorOf } from '../storage/selectors.ts';
import type { Change } from '../storage/storage.ts';
import { tableOf } from '../tables/table.ts';
import type { ClusterParts, ResourceCall } from './call.ts';
import { scopeOf } from './call.ts';
import { includeObject, metadataOf, wantedForm } from './reply.ts';

/** Seconds. The API server's default lies between 30 and 60 minutes. */
const DEFAULT_TIMEOUT = 1800;
const MAX_TIMEOUT = 24 * 3600;

/** A reader slower than this much is cut, as the API server does: it may watch again from where it was. */
const MAX_BEHIND_BYTES = 1024 * 1024;

type EventType = Change['type'] | 'BOOKMARK';

/** What a change means to a client that sees only what its selector matches. */
function seen(change: Change, selects: Selector): EventType | undefined {
  const before = change.previous !== undefined && selects(change.previous);
  const after = change.type !== 'DELETED' && selects(change.object);
  if (before && after) return 'MODIFIED';
  if (before) return 'DELETED';
  return after ? 'ADDED' : undefined;
}

function timeoutOf(query: URLSearchParams): number {
  const value = Number(query.get('timeoutSeconds') ?? '');
  return Number.isInteger(value) && value > 0 ? Math.min(value, MAX_TIMEOUT) : DEFAULT_TIMEOUT;
}

/** Undefined where the watch begins with what there is now. */
function startOf(query: URLSearchParams): number | undefined {
  const text = query.get('resourceVersion') ?? '';
  if (text === '' || text === '0') return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid resource version: ${JSON.stringify(text)}`);
  return Number(text);
}

/** Turns a change into a line, as an object or as a Table of one row. */
function lineWriter(parts: ClusterParts, call: ResourceCall): (type: EventType, object: KubeObject) => string {
  const form = wantedForm(call.request.headers.accept);
  const include = includeObject(call.info.query);
  let headings = true;
  return (type, object) => {
    let shown: JsonObject = form === 'metadata' ? metadataOf(object) : object;
    if (form === 'table' && type !== 'BOOKMARK') {
      const resourceVersion = object.metadata.resourceVersion ?? '';
      shown = tableOf({
        resource: call.resource,
        items: [object],
        include,
        resourceVersion,
        now: parts.now(),
        headings,
      });
      headings = false;
    }
    return `${JSON.stringify({ type, object: shown })}\n`;
  };
}

/** Marks the end of the first events for a caller that asked for them as a stream (`sendInitialEvents`). */
const initialEventsEnd = (call: ResourceCall, resourceVersion: string): KubeObject => ({
  apiVersion: apiVersionOf(call.resource),
  kind: call.resource.kind,
  metadata: { resourceVersion, annotations: { 'k8s.io/initial-events-end': 'true' } },
});

/**
 * Answers a watch; returns at once and goes on until one side ends it.
 * @throws StatusError 400, 406
 */
export function watch(parts: ClusterParts, call: ResourceCall): void {
  const { response, info } = call;
  const selects = selectorOf(call.resource, info.query);
  const namespace = scopeOf(call);
  const since = startOf(info.query);
  const line = lineWriter(parts, call);
  const inScope = (object: KubeObject): boolean => namespace === '' || object.metadata.namespace === namespace;

  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
  response.flushHeaders();
  const send = (type: EventType, object: KubeObject): void => {
    response.write(line(type, object));
    if (response.writableLength > MAX_BEHIND_BYTES) response.destroy();
  };
  const streamed = info.query.get('sendInitialEvents') === 'true';
  const { items, resourceVersion } = parts.storage.list(call.resource, namespace === '' ? undefined : namespace);
  if (since === undefined || streamed) for (const item of items.filter(selects)) send('ADDED', item);
  if (streamed) send('BOOKMARK', initialEventsEnd(call, resourceVersion));

  const from = streamed ? Number(resourceVersion) : (since ?? Number(resourceVersion));
  follow(parts, call, from, (change) => {
    const type = inScope(change.object) ? seen(change, selects) : undefined;
    // What left the selection is shown as it last was in it, but with the number of the change.
    const left = type === 'DELETED' && change.previous !== undefined;
    const object = left ? withNumber(change.previous ?? change.object, change.number) : change.object;
    if (type !== undefined) send(type, object);
  });
}

const withNumber = (object: KubeObject, number: number): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: String(number) },
});

function follow(parts: ClusterParts, call: ResourceCall, since: number, listener: (change: Change) => void): void {
  const { response } = call;
  try {
    const stop = parts.storage.subscribe(call.resource, since, listener);
    const timer = setTimeout(() => response.end(), timeoutOf(call.info.query) * 1000);
    response.once('close', () => {
      clearTimeout(timer);
      stop();
    });
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    response.end(`${JSON.stringify({ type: 'ERROR', object: error.status })}\n`);
  }
}
