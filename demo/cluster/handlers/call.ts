/** One request on its way through the handlers, and the parts of the cluster that they work on. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Identity } from '../../../src/core/identity/identity.ts';
import type { Authenticator } from '../authentication/authentication.ts';
import type { Named } from '../objects/status.ts';
import type { Authorizer } from '../rbac/authorizer.ts';
import type { RequestInfo, ResourceInfo } from '../request-info.ts';
import type { ResourceType } from '../resources.ts';
import type { Storage } from '../storage/storage.ts';

export interface ClusterParts {
  readonly storage: Storage;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly now: () => Date;
  /** True if it knows constrained impersonation. */
  readonly constrained: boolean;
}

/** An admitted request: everything is decided for `user`, whichever token it came with. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly info: RequestInfo;
  readonly user: Identity;
}

/** A call about objects of a known kind. */
export interface ResourceCall extends Call {
  readonly target: ResourceInfo;
  readonly resource: ResourceType;
}

/** The object that the path names, for error messages. */
export const named = (call: ResourceCall, name: string = call.target.name): Named => ({
  group: call.resource.group,
  resource: call.resource.resource,
  name,
});

export const isDryRun = (call: Call): boolean => call.info.query.getAll('dryRun').includes('All');

/** The namespace that objects of this path live in; of a namespace itself none, although its path names one. */
export const scopeOf = (call: ResourceCall): string => (call.resource.namespaced ? call.target.namespace : '');
