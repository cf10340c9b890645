/** The question that every request is: who asks, as whom, and for what. Each check (`checks.ts`) is about it. */
import type { Caller } from '../../core/credential/credential.ts';
import { effectiveVerb } from '../../core/delegation/effective-verb.ts';
import type { RightsRequest } from '../../core/delegation/evaluate.ts';
import { byHeaders } from '../../core/http/by-headers.ts';
import {
  requestedIdentity,
  type ImpersonateAttributes,
  type ImpersonationRejection,
  type rbacDenial,
} from '../../core/http/impersonation.ts';
import { limitIdentity } from '../../core/http/upstream-headers.ts';
import type { Identity } from '../../core/identity/identity.ts';
import type { RequestInfo } from '../../core/request/request-info.ts';
import type { Result } from '../../core/result.ts';
import type { UpstreamCluster } from '../dependencies.ts';
import type { Exchange } from '../exchange.ts';
import { valuesOf } from '../raw-headers.ts';

/** Where a request goes. */
export interface Route {
  readonly cluster: UpstreamCluster;
  readonly info: RequestInfo;
  /** Path and query, exactly as they are to be forwarded. */
  readonly target: string;
  /**
   * The part of the client's target that chose the cluster, if any. Every location that is returned to the client
   * starts with it.
   */
  readonly prefix: string;
}

/** A request before it is known who asks. */
export interface AdmissionRequest {
  readonly exchange: Exchange;
  readonly route: Route;
  /** The client asks for WebSocket or SPDY. */
  readonly upgrade: boolean;
  /** Never logged. */
  readonly token: string;
}

/** What an authorizer judges: the effective verb, and a resource or a path. */
export type Attributes = Parameters<typeof rbacDenial>[1];

/** What rules are compared with: the limits of delegated sessions, and those of step-up. */
export interface AskedFor {
  readonly cluster: Pick<UpstreamCluster, 'name'>;
  readonly info: RequestInfo;
  readonly upgrade: boolean;
  /** The client's address. */
  readonly address: string;
  /** Each value of `Content-Type`. */
  readonly contentTypes: readonly string[];
  /**
   * The user that the client asks to act as. Also undefined where its `Impersonate-*` cannot be read as one identity,
   * which the last check rejects.
   */
  readonly impersonated: Identity | undefined;
  readonly attributes: Attributes;
}

const contentTypesOf = byHeaders((raw) => valuesOf(raw, 'content-type'));
const impersonationOf = byHeaders(requestedIdentity);

/**
 * A request as its checks see it. What only some of them need is found when they ask for it, so that a user's own read
 * pays for none of it.
 */
export abstract class RequestQuestion implements AskedFor {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly upgrade: boolean;
  /** Whose connection slots are counted: an account, or a service account that passes with its own token. */
  abstract readonly user: string;
  #impersonation: Result<Identity | undefined, ImpersonationRejection> | undefined;

  constructor({ exchange, route, upgrade }: AdmissionRequest) {
    this.exchange = exchange;
    this.route = route;
    this.upgrade = upgrade;
  }

  get cluster(): UpstreamCluster {
    return this.route.cluster;
  }

  get info(): RequestInfo {
    return this.route.info;
  }

  get address(): string {
    return this.exchange.facts.connection.address;
  }

  get contentTypes(): readonly string[] {
    return contentTypesOf(this.exchange.facts.raw);
  }

  /** The user that the client asks to act as, or why its `Impersonate-*` cannot be read as one. */
  get impersonation(): Result<Identity | undefined, ImpersonationRejection> {
    return (this.#impersonation ??= impersonationOf(this.exchange.facts.raw));
  }

  get impersonated(): Identity | undefined {
    const { impersonation } = this;
    return impersonation.ok ? impersonation.value : undefined;
  }

  get attributes(): Attributes {
    return attributesOf(this.info, this.upgrade);
  }
}

/** A user asks, in a session of theirs: their own, or a delegated one. */
export class UserQuestion extends RequestQuestion {
  readonly caller: Caller;
  override readonly user: string;

  constructor(request: AdmissionRequest, caller: Caller) {
    super(request);
    this.caller = caller;
    this.user = caller.credential.account;
  }

  /** The user as this cluster knows them: an attribute that `impersonate` leaves out gives no rights here. */
  get identity(): Identity {
    return limitIdentity(this.caller.identity, this.cluster.impersonate);
  }
}

/** A service account asks, with its own token. */
export class ServiceAccountQuestion extends RequestQuestion {
  readonly username: string;
  override readonly user: string;

  constructor(request: AdmissionRequest, { username }: Identity) {
    super(request);
    this.username = username;
    this.user = `${this.cluster.name} ${username}`;
  }
}

/** Returns what the request is about, with the verb that it is judged by. */
export function attributesOf(info: RequestInfo, upgrade: boolean): Attributes {
  const verb = effectiveVerb(info, upgrade);
  if (!info.isResourceRequest) return { verb, path: info.path };
  const { apiGroup: group, resource, subresource, namespace, name } = info;
  return { verb, group, resource, subresource, namespace, name };
}

/** Returns the permission to act as another user as a request of its own. */
export const asRequest = ({ group: apiGroup, ...rest }: ImpersonateAttributes): RightsRequest => ({
  ...rest,
  apiGroup,
  isResourceRequest: true,
  path: '',
});
