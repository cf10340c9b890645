/** The messages between the stage and its replicas (over Node's IPC; what was accepted goes over standard output). */
import type { Account } from '../../src/core/identity/identity.ts';
import type { LogPosition, RevocationTarget } from '../../src/core/credential/revocation.ts';
import type { RedisSettings } from '../../src/store/redis/redis.ts';
import type { RevocationResult } from '../../src/revocation/revocation.ts';

/** How a replica process is set up; its one argument, as JSON. */
export interface ReplicaSetup {
  readonly name: string;
  readonly redis: RedisSettings;
  /** Hex; the same on all replicas of a stage. */
  readonly sealingKey: string;
  readonly stalenessSeconds: number;
  /** True: the store serves it whatever its clock says, so that the store's clock can be set and nothing else. */
  readonly anyClock?: boolean;
}

/** The claims of a token that the revocation guard checks. */
export interface Bearer {
  readonly session: string;
  /** Of a delegated session. */
  readonly ancestors?: readonly string[] | undefined;
  readonly account: Account;
  readonly provider: string;
  readonly position: LogPosition;
}

export interface SignInRequest {
  readonly session: string;
  readonly account: Account;
  readonly startedAt: LogPosition;
  /** Opens a delegated session beneath these. */
  readonly ancestors?: readonly string[];
}

export interface GrantRequest {
  readonly id: string;
  readonly session: string;
  readonly account: Account;
}

export interface Commands {
  /** The position of the log, which a sign-in stores when it begins. */
  readonly position: { readonly in: null; readonly out: LogPosition };
  /** Opens a session and mints: what the end of a sign-in does. A rejection is a reason. */
  readonly signIn: { readonly in: SignInRequest; readonly out: Bearer | { readonly refused: string } };
  /** Mints for a session that is there: what a refresh does in the end. */
  readonly refresh: { readonly in: { readonly session: string }; readonly out: Bearer | { readonly refused: string } };
  /** From now on requests and a stream come in with this credential, every few milliseconds, without end. */
  readonly carry: { readonly in: Bearer; readonly out: null };
  /** Asks for groups for a while, for a session. A rejection is a reason. */
  readonly ask: { readonly in: GrantRequest; readonly out: { readonly refused?: string } };
  /** The last approval, which begins the grant. */
  readonly approve: {
    readonly in: { readonly id: string; readonly seconds: number };
    readonly out: { readonly beganAt: number; readonly endsAt: number } | { readonly refused: string };
  };
  /** As `carry`, with the groups that the session has at each moment. What is made with them is written as `granted-…`. */
  readonly carryGranted: { readonly in: Bearer; readonly out: null };
  /** A step-up: each replica reads the session again. */
  readonly prove: { readonly in: { readonly session: string }; readonly out: null };
  /** How the request is stored, and how often this replica has looked for ends so far. */
  readonly grant: {
    readonly in: { readonly id: string };
    readonly out: { readonly state: string; readonly ending?: string | undefined; readonly looks: number } | null;
  };
  /** From now on it writes the ends of grants that are over; or dies before it has noted the first. */
  readonly writeEnds: { readonly in: { readonly dies: boolean }; readonly out: null };
  readonly revoke: {
    readonly in: { readonly target: RevocationTarget; readonly lock?: string; readonly requestId?: string };
    readonly out: Told | { readonly failed: string };
  };
  /** The latest result of an earlier revocation. */
  readonly answer: { readonly in: { readonly id: string }; readonly out: Told | null };
  readonly status: {
    readonly in: null;
    readonly out: { readonly fenced: boolean; readonly number: number; readonly epoch: string };
  };
  /** Sets this process' wall clock off. */
  readonly clock: { readonly in: { readonly offsetMs: number }; readonly out: null };
}

/** A result, and when this process had it. */
export interface Told {
  readonly answer: RevocationResult;
  /** Nanoseconds of the machine's monotonic clock, which all processes share. */
  readonly at: number;
}

export type CommandName = keyof Commands;

export interface Asked<N extends CommandName = CommandName> {
  readonly id: number;
  readonly name: N;
  readonly input: Commands[N]['in'];
}

export interface Answered {
  readonly id: number;
  readonly output?: unknown;
  readonly error?: string;
}
