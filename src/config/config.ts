/**
 * Configuration: file or environment to one frozen, typed object.
 *
 * Owns: the schema with every default, the parser that reports all validation errors together, and reading secrets
 * from the files that the configuration names. Must not know: what any value is used for. No other module reads
 * the environment.
 *
 * - Reading: `load.ts` (all steps), `yaml-file.ts`, `environment.ts`, `document.ts`, `section.ts`.
 * - Checking: `schema.ts` (form and defaults), `sections.ts`, `values.ts`, `semantics.ts` (several settings
 *   together), `provider-types.ts`, `github.ts`, `client-auth.ts`, `client-key.ts`, `freshness.ts`, `workload.ts`,
 *   `public-clients.ts`, `access.ts`, `access-checks.ts`, `access-notify.ts`, `step-up.ts`, `delegation.ts`, `delegation-clients.ts`,
 *   `audit.ts`, `outbound.ts` (proxies), `named-files.ts`, `validation-errors.ts`.
 * - Result: `assemble.ts`, `warnings.ts`, `notify-types.ts`.
 * - Keys: `key-types.ts`, `keys.ts`, `key-files.ts`, `followed-keys.ts`, `generate-keys.ts`, `rotate-keys.ts`.
 * - Files that change: `files.ts` (secrets), `followed-files.ts`.
 */

import type { OutboundProxy } from '../contracts/outbound-proxy.ts';
import type { Constraint } from '../core/http/constrained-impersonation.ts';
import type { AuditRule } from '../core/audit/policy.ts';
import type { AccessRole } from '../core/access/role.ts';
import type { RightsLimit } from '../core/delegation/rights.ts';
import type { StepUpRule } from '../core/step-up/rule.ts';
import type { ClientAuthMethod } from './client-auth.ts';
import type { AccessNotifyConfig } from './notify-types.ts';
import type { FreshnessSetting, ProviderType } from './provider-types.ts';

export type { AssertionAlg, ClientKey } from './client-key.ts';
export type { AuditKeys, SealingKeys, SigningKeys } from './key-types.ts';
export type { NoticeFormat } from './notify-types.ts';

/** A duration in seconds, written `90s`, `5m`, `12h` in the file. */
export type Seconds = number;

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ProviderConfig {
  readonly name: string;
  readonly type: ProviderType;
  readonly issuer: string;
  /** Entra: the tenant's id. */
  readonly tenant?: string;
  /** Entra: whether `claims.groups` holds object ids or display names. */
  readonly groupsAs?: 'id' | 'name';
  /**
   * Google: the key of a service account, and the administrator in whose name it reads groups from the Directory
   * API.
   */
  readonly serviceAccountFile?: string;
  readonly impersonatedAdmin?: string;
  /**
   * GitHub: organisations whose members may sign in, by login or by id; `*`: any account. Absent: any account of
   * an Enterprise host.
   */
  readonly organizations?: '*' | readonly (string | number)[];
  /** GitHub: absent for github.com. */
  readonly host?: string;
  readonly clientId: string;
  /**
   * How we authenticate at the provider. Absent: by the secret, in the way that it accepts; without one a public
   * client.
   */
  readonly clientAuth?: ClientAuthMethod;
  readonly clientSecretFile?: string;
  /** A private key: for `private_key_jwt` and `tls_client_auth`. */
  readonly clientKeyFile?: string;
  /** Its certificate, in PEM. */
  readonly clientCertFile?: string;
  readonly caFile?: string;
  /** Absent: it is reached directly. */
  readonly proxy?: OutboundProxy;
  /** Hosts beside the issuer's that discovery may name. */
  readonly hosts: readonly string[];
  /** Absent: the scopes of the type. */
  readonly scopes?: readonly string[];
  readonly usernamePrefix: string;
  readonly groupsPrefix: string;
  /** CEL over `claims`. */
  readonly username: string;
  readonly groups?: string;
  readonly uid?: string;
  readonly extra: Readonly<Record<string, string>>;
  readonly emailVerified: 'claim' | 'trusted';
  /** How the provider is asked to have a user authenticate again, and whether it can prove that. */
  readonly freshness: FreshnessSetting;
  /**
   * What ends here when a user signs out there: what was opened in that session, everything of the account, or
   * nothing.
   */
  readonly backchannelLogout: 'session' | 'account' | 'off';
  /** CEL over `claims`. */
  readonly rules: readonly Rule[];
  /** CEL over the mapped `user`. */
  readonly userRules: readonly Rule[];
}

export interface Rule {
  readonly expression: string;
  readonly message: string;
}

export interface ClusterConfig {
  readonly name: string;
  readonly hosts: readonly string[];
  /** What a kubeconfig says as `server`. */
  readonly publicUrl: string;
  readonly server: string;
  readonly caFile?: string;
  readonly tokenFile: string;
  /** CEL over `user`: who may use this cluster. */
  readonly allow: string;
  readonly impersonate: {
    readonly groups: '*' | readonly string[];
    readonly extra: readonly string[];
    /** Absent: off. */
    readonly constrained?: Constraint;
  };
  /** Service accounts of the cluster may pass with their own tokens, which the cluster reviews. */
  readonly serviceAccountPassthrough: boolean;
}

/** An in-cluster web console behind our browser sign-in, on a host name of its own at the web listener. */
export interface ConsoleConfig {
  readonly name: string;
  readonly host: string;
  /** The one cluster that its tokens are for. */
  readonly cluster: string;
  /** `https://host:port` of the console, without a path; plain http for a loopback host only. */
  readonly server: string;
  readonly caFile?: string;
}

/**
 * A rule for workload tokens that are exchanged for ours (RFC 8693). Its name is part of accounts, in one name
 * space with the providers.
 */
export interface WorkloadRule {
  readonly name: string;
  readonly issuer: string;
  readonly caFile?: string;
  /** Absent: it is reached directly. */
  readonly proxy?: OutboundProxy;
  /** Hosts beside the issuer's that discovery may name. */
  readonly hosts: readonly string[];
  /** CEL over `claims`: which tokens of the issuer the rule is for. */
  readonly match: string;
  /** CEL over `claims`. */
  readonly username: string;
  readonly groups?: string;
  readonly usernamePrefix: string;
  readonly groupsPrefix: string;
  /** Names of clusters that its tokens may be for. */
  readonly clusters: readonly string[];
  /** Longest lifetime of a session. */
  readonly life: Seconds;
  /** What it may do at the admin API: start drills, read as an auditor, or revoke and lock; and nothing else there. */
  readonly role: 'none' | 'drill' | 'auditor' | 'revoker';
}

/**
 * A program that exchanges a user's token for a delegated session's (RFC 8693), such as a remote MCP server. Exactly one
 * of `jwksFile`, `jwksUrl` (`private_key_jwt`) and `certFile` (`self_signed_tls_client_auth`, RFC 8705 §2.2) is there.
 */
export interface DelegationClientConfig {
  /** `client_id`, and the actor's name. */
  readonly id: string;
  /** Audience of the users' tokens that it may exchange (RFC 8707). */
  readonly resource: string;
  readonly jwksFile?: string;
  readonly jwksUrl?: string;
  /** CAs that verify the host of `jwksUrl`. */
  readonly caFile?: string;
  /** To the host of `jwksUrl`. Absent: it is reached directly. */
  readonly proxy?: OutboundProxy;
  /** Certificates, in PEM, one of which it presents. */
  readonly certFile?: string;
  readonly limit: RightsLimit;
  readonly clusters: readonly string[];
  /** Of a delegated session. */
  readonly lifetime: Seconds;
  /** `none`: its tokens need no key. Then one cluster, two minutes at most, and `sourceCidrs`. */
  readonly binding: 'certificate' | 'none';
  /** Where it may exchange and use tokens. Absent: anywhere. */
  readonly sourceCidrs?: readonly string[];
}

/** A third-party OAuth client (kubelogin, say): public, with PKCE, its tokens bound to no key and for one audience. */
export interface PublicClientConfig {
  /** `client_id`. */
  readonly id: string;
  /** As users see it. */
  readonly name: string;
  /** Exactly one of the two is there. */
  readonly cluster?: string;
  /** That of one of `delegation.clients`. */
  readonly resource?: string;
  /** Of a loopback http URL the port does not count (RFC 8252 §7.3). */
  readonly redirectUris: readonly string[];
}

export type StoreConfig =
  | { readonly kind: 'memory' }
  | {
      readonly kind: 'redis';
      /** With Sentinel the host is not dialled: it is the name that the nodes' certificates carry. */
      readonly url: string;
      readonly usernameFile?: string;
      readonly passwordFile?: string;
      readonly caFile?: string;
      readonly prefix: string;
      /** Servers that hold the data. With 3, one follower must confirm each revocation and each renewal. */
      readonly nodes: 1 | 3;
      readonly sentinel?: SentinelConfig;
    };

export interface SentinelConfig {
  readonly addresses: readonly Address[];
  /** The name under which the Sentinels know the master. */
  readonly master: string;
  /** For the Sentinels' own users. Absent: they require no password. */
  readonly usernameFile?: string;
  readonly passwordFile?: string;
}

export type AuditSinkConfig =
  | { readonly type: 'stdout' }
  | {
      readonly type: 'file';
      readonly path: string;
      /** A new file is begun at this size or at this age, whichever is first. Neither: it is not rotated here. */
      readonly maxSizeMb?: number | undefined;
      readonly rotateEvery?: Seconds | undefined;
      /** Files kept in addition to the one that is written, or how long each is kept. */
      readonly keep?: number | { readonly seconds: Seconds } | undefined;
      readonly gzip?: boolean | undefined;
      readonly fsync?: 'never' | 'interval' | 'always' | undefined;
      /** The file for requests without a valid credential. Absent for a device: the same as for all others. */
      readonly rejectedPath?: string | undefined;
      readonly rejectedMaxMb?: number | undefined;
    }
  | {
      readonly type: 'webhook';
      readonly url: string;
      readonly caFile?: string | undefined;
      /** A client certificate. */
      readonly certFile?: string | undefined;
      readonly keyFile?: string | undefined;
      /** A bearer token. */
      readonly tokenFile?: string | undefined;
      /** Absent: it is reached directly. */
      readonly proxy?: OutboundProxy | undefined;
      /** The spool for events that could not be delivered. Absent: in memory. */
      readonly spoolDir?: string | undefined;
      readonly spoolMaxMb?: number | undefined;
      readonly batchEvents?: number | undefined;
      readonly batchBytes?: number | undefined;
      readonly batchWait?: Seconds | undefined;
      readonly timeout?: Seconds | undefined;
    };

export interface Config {
  /** The web listener as browsers see it, and the issuer of our tokens. Without a trailing slash. */
  readonly publicUrl: string;
  readonly listen: {
    readonly api: TlsFiles & {
      readonly address: Address;
      readonly publicUrl: string;
      readonly publicCaFile?: string;
      /** `required`: each connection begins with a PROXY header (version 2) and comes from one of `trustedProxies`. */
      readonly proxyProtocol: 'off' | 'required';
    };
    readonly web: { readonly address: Address; readonly tls?: TlsFiles };
    readonly ops: { readonly address: Address };
    /** CIDRs. */
    readonly trustedProxies: readonly string[];
  };
  readonly store: StoreConfig;
  /** Without `auditDir` the audit log is chained and not signed. */
  readonly keys: { readonly signingDir: string; readonly sealingDir: string; readonly auditDir?: string };
  readonly providers: readonly ProviderConfig[];
  readonly clusters: readonly ClusterConfig[];
  readonly consoles: readonly ConsoleConfig[];
  readonly workload: readonly WorkloadRule[];
  readonly admin: {
    readonly groups: readonly string[];
    readonly auditors: readonly string[];
    /** How long after they authenticated at their provider admins may change anything. */
    readonly freshness: Seconds | 'off';
    /** `on`: revoking a provider or everything, and locking an admin, requires a second admin. */
    readonly dualControl: 'on' | 'off';
  };
  readonly sessions: {
    readonly accessToken: Seconds;
    readonly idle: Seconds;
    readonly absolute: Seconds;
    /** How often a user with an open stream, or of a browser's session in use, is re-checked at their provider. */
    readonly recheck: Seconds;
    /** How long after the last successful re-check streams and consoles go on. */
    readonly recheckGrace: Seconds;
    /** Whether the plugin's tokens are bound to its key. `off`: none is, and refresh tokens rotate. */
    readonly binding: 'required' | 'off';
    readonly publicClients: readonly PublicClientConfig[];
    /** Sign-in by a code that is typed elsewhere (RFC 8628). `sameNetwork`: only from the device's own network. */
    readonly deviceCode: 'on' | 'sameNetwork' | 'off';
  };
  readonly delegation: {
    readonly enabled: boolean;
    /** Whose members may delegate. Absent: every user may; empty: no one may. */
    readonly groups?: readonly string[];
    /** Clusters that delegated sessions may be for. Absent: all. */
    readonly clusters?: readonly string[];
    /** What delegated sessions may do at most, whatever their users ask for. `rules`: whatever the user may do. */
    readonly most: 'read-only' | 'read-only-with-secrets' | 'rules';
    readonly lifetime: Seconds;
    /** How many may be beneath one of a user's own sessions at the same time. */
    readonly perSession: number;
    readonly clients: readonly DelegationClientConfig[];
    /** Hosts of client id metadata documents; none: clients by their documents are off. */
    readonly clientMetadata: {
      readonly hosts: readonly string[];
      readonly caFile?: string;
      readonly proxy?: OutboundProxy;
    };
  };
  readonly access: {
    readonly roles: readonly AccessRole[];
    /** How long after their last proof approvers may decide. */
    readonly freshness: Seconds | 'off';
    readonly notify: readonly AccessNotifyConfig[];
  };
  readonly stepUp: readonly StepUpRule[];
  readonly revocation: {
    readonly staleness: Seconds;
    /** Whether a process that has never been in an epoch may begin one in a store that has none. */
    readonly emptyStore: 'init' | 'refuse';
  };
  readonly audit: {
    readonly sinks: readonly AuditSinkConfig[];
    /** Rules as in Kubernetes' audit policy; no rule leaves out more than allowed reads of the paths of probes. */
    readonly policy: readonly AuditRule[];
    readonly onFailure: 'block' | 'count';
    /**
     * Whether a request that may change something is sent to the API server only once an audit event of it is kept: by the kernel (`changes`),
     * or by the disk (`sync`).
     */
    readonly writeAhead: 'changes' | 'off' | 'sync';
    /**
     * Audit events of requests without a valid credential, from one address; ten times as many from all together.
     * The rest is counted.
     */
    readonly rejectionsPerMinute: number;
    /** Whether the audit log has the values of exec's `command`. */
    readonly execCommands: boolean;
  };
  readonly limits: {
    readonly headerBytes: number;
    readonly connections: number;
    /** Requests and watches of one account, over all its sessions. */
    readonly inFlightPerPerson: number;
    /** Of one user. A user with more is rejected at sign-in, with the number. */
    readonly groups: number;
    /** After how long a connection to the api listener without a request is closed. */
    readonly idle: Seconds;
    readonly signInsPerMinute: number;
  };
  readonly shutdown: { readonly delay: Seconds; readonly grace: Seconds };
  readonly telemetry: { readonly logLevel: 'debug' | 'info' | 'warn' | 'error' };
  /** How far the clocks of identity providers and of workloads' issuers may differ from ours. */
  readonly clockSkew: Seconds;
  /** The contact for users who are rejected or meet an error; one line of plain text. */
  readonly contact: string;
  /** The page where users get the command line; absent: there is none that we know of. */
  readonly installUrl?: string;
}
