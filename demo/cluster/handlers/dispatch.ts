/** Every request's one way: authenticate, impersonate, authorize, and only then find out whether there is anything there. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Identity } from '../../../src/core/identity/identity.ts';
import { isOpenPath } from '../authentication/authentication.ts';
import { impersonate, ImpersonationError } from '../authentication/impersonation.ts';
import { discoveryAt, openApiAt, openApiV2 } from '../discovery.ts';
import { badRequest, methodNotAllowed, StatusError, unknownPath } from '../objects/status.ts';
import { logs } from '../pods/logs.ts';
import type { Attributes } from '../rbac/rules.ts';
import { requestInfo } from '../request-info.ts';
import type { RequestInfo, ResourceInfo } from '../request-info.ts';
import { findResource, NAMESPACES, PODS, REVIEWS } from '../resources.ts';
import type { ResourceType, Verb } from '../resources.ts';
import type { Call, ClusterParts, ResourceCall } from './call.ts';
import { checkEscalation } from './escalation.ts';
import { get, list } from './read.ts';
import { remove, removeCollection } from './remove.ts';
import { writeJson, writeStatus } from './reply.ts';
import { review } from './reviews.ts';
import { watch } from './watch.ts';
import { create, patch, update } from './write.ts';

const VERSION = {
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.0+portcullis.demo',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2024-12-11T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: 'linux/amd64',
};

export interface Admitted {
  readonly info: RequestInfo;
  readonly user: Identity;
}

const attributesOf = (info: RequestInfo): Attributes =>
  info.resource === undefined ? { verb: info.verb, path: info.path } : { verb: info.verb, resource: info.resource };

/**
 * Who is asking for what, and that they may.
 * @throws StatusError 400, 401, 403
 * @throws ImpersonationError
 */
export function admit(parts: ClusterParts, request: IncomingMessage): Admitted {
  const info = requestInfo(request.method ?? 'GET', request.url ?? '/');
  const real = parts.authenticator.authenticate(request, info.path);
  const attributes = attributesOf(info);
  const { authorizer } = parts;
  const user = impersonate(request, { real, authorizer, on: parts.constrained ? attributes : undefined });
  if (!isOpenPath(info.path)) authorizer.require(user, attributes);
  return { info, user };
}

/**
 * The kind that the path names.
 * @throws StatusError 404 for a kind that is not served, or not in that place
 */
function kindAt(info: RequestInfo, target: ResourceInfo): ResourceType {
  const resource = findResource(target.group, target.version, target.resource);
  if (resource === undefined) throw unknownPath();
  const inNamespace = target.namespace !== '';
  if (!resource.namespaced && inNamespace && resource !== NAMESPACES) throw unknownPath();
  // Without a namespace a namespaced kind can only be listed and watched, over all namespaces.
  if (resource.namespaced && !inNamespace && !info.path.endsWith(`/${target.resource}`)) throw unknownPath();
  return resource;
}

/** @throws StatusError 404 for a path that is no resource */
export function upgradeTarget(info: RequestInfo): { resource: ResourceType; target: ResourceInfo } {
  if (info.resource === undefined) throw unknownPath();
  return { resource: kindAt(info, info.resource), target: info.resource };
}

async function serveVerb(parts: ClusterParts, call: ResourceCall, verb: Verb): Promise<void> {
  if (REVIEWS.includes(call.resource)) return review(parts, call);
  switch (verb) {
    case 'get':
      return get(parts, call);
    case 'list':
      return list(parts, call);
    case 'watch':
      return watch(parts, call);
    case 'create':
      checkEscalation(parts, call);
      return create(parts, call);
    case 'update':
      checkEscalation(parts, call);
      return update(parts, call);
    case 'patch':
      checkEscalation(parts, call);
      return patch(parts, call);
    case 'delete':
      return remove(parts, call);
    case 'deletecollection':
      return removeCollection(parts, call);
  }
}

async function serveResource(parts: ClusterParts, call: ResourceCall): Promise<void> {
  const { subresource } = call.target;
  if (subresource !== '') {
    const served = call.resource.subresources.find((each) => each.name === subresource);
    if (served === undefined) throw unknownPath();
    if (!(served.verbs as readonly string[]).includes(call.info.verb)) throw methodNotAllowed();
    if (call.resource === PODS && subresource === 'log') return logs(parts, call);
    throw badRequest('Upgrade request required');
  }
  const verb = call.resource.verbs.find((each) => each === call.info.verb);
  if (verb === undefined) throw methodNotAllowed();
  await serveVerb(parts, call, verb);
}

function servePath(call: Call): void {
  const { path, verb } = call.info;
  if (verb !== 'get' && verb !== 'head') throw methodNotAllowed();
  if (path === '/version' || path === '/version/') return writeJson(call.response, 200, VERSION);
  if (path === '/livez' || path === '/readyz' || path === '/healthz') {
    call.response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    call.response.end('ok');
    return;
  }
  if (path === '/openapi/v2') {
    const { contentType, bytes } = openApiV2();
    call.response.writeHead(200, { 'content-type': contentType, 'content-length': bytes.length });
    call.response.end(bytes);
    return;
  }
  const document = discoveryAt(path, call.request.headers.accept ?? '');
  if (document !== undefined) return writeJson(call.response, 200, document.body, document.contentType);
  const openApi = openApiAt(path);
  if (openApi === undefined) throw unknownPath();
  writeJson(call.response, 200, openApi);
}

/** Turns what was thrown into an answer; once the answer has begun it can only be cut. */
function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (error instanceof ImpersonationError) {
    response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`Internal Server Error: ${error.message}\n`);
    return;
  }
  writeStatus(response, error instanceof StatusError ? error : internal());
}

export const internal = (): StatusError =>
  new StatusError(500, 'InternalError', 'Internal error occurred: an error in the demo cluster itself');

/** Serves one request to its end; never rejects. */
export async function serve(parts: ClusterParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // The same id is in this cluster's response and in the audit log of the proxy before it.
  const auditId = request.headers['audit-id'];
  response.setHeader('audit-id', typeof auditId === 'string' ? auditId : randomUUID());
  try {
    const call: Call = { request, response, ...admit(parts, request) };
    const target = call.info.resource;
    if (target === undefined) servePath(call);
    else await serveResource(parts, { ...call, target, resource: kindAt(call.info, target) });
  } catch (error) {
    fail(response, error);
  }
}

/** Kinds whose subresources switch protocols. */
export const isUpgradable = (resource: ResourceType, subresource: string): boolean =>
  resource === PODS && ['exec', 'attach', 'portforward'].includes(subresource);
