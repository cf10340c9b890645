/** The server's keys, watched: they are read at each use, and change when their directories do. */
import type { Clock } from '../contracts/clock.ts';
import { createSecretKey, hkdfSync } from 'node:crypto';
import type { AuditKeys, Config, SealingKeys, SigningKeys } from '../config/config.ts';
import {
  followAuditKeys,
  followSealingKeys,
  followSigningKeys,
  type Followed,
  type FollowKeysOptions,
} from '../config/followed-keys.ts';
import { SIGNS_AFTER_SECONDS } from '../config/keys.ts';
import {
  KeyAgreement,
  type KeyHolder,
  type KeyKind,
  type ReplicaKeys,
  type Thumbprints,
} from '../core/credential/key-agreement.ts';
import type { KeysOfReplicas } from '../revocation/revocation.ts';
import { CLOCK_SKEW_SECONDS } from '../store/lifetimes.ts';
import type { Logger, Metrics } from '../telemetry/telemetry.ts';

export interface ServerKeys {
  readonly signing: SigningKeys;
  readonly sealing: SealingKeys;
  /** The public halves of all keys that may have signed a token; `keys` must be read at each token. */
  readonly verifying: SigningKeys['publicJwks'];
  /**
   * Returns the same object with the current key that signs the audit log; undefined if the audit log is not
   * signed.
   */
  withAuditKey<T extends object>(about: T): T & { readonly key: AuditKeys['current'] | undefined };
  /** Keys of cookies, the signing one first. The same array until they change. */
  readonly cookieKeys: () => readonly string[];
  /** Registers these keys, and learns of those of the other replicas. */
  readonly ofReplicas: KeysOfReplicas;
  /** Returns the live replicas that use a key which cannot be read here, by name (`KeyAgreement.ahead`). */
  ahead(): readonly string[];
  stop(): void;
}

/** How long a key must be readable at every live replica before it is used, in milliseconds. Only tests shorten it. */
export interface KeyTiming {
  readonly readableMs?: number;
}

export interface ServerKeysDeps {
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly metrics: Pick<Metrics, 'keysChanged' | 'observeKey' | 'observeLackedKey'>;
  /** Called with the directory whose new content is in use. */
  readonly changed: (directory: string) => void;
}

/** @throws AppError `internal` (`keys_unusable`) if a directory holds no keys that can be used now */
export async function followServerKeys(
  { keys, sessions }: Config,
  deps: ServerKeysDeps,
  { readableMs = SIGNS_AFTER_SECONDS * 1000 }: KeyTiming = {},
): Promise<ServerKeys> {
  const agreement = new KeyAgreement(readableMs);
  const { clock, logger, metrics, changed } = deps;
  const directories = { signing: keys.signingDir, sealing: keys.sealingDir, audit: keys.auditDir ?? '' };
  const options: FollowKeysOptions = {
    // The lifetime of what it signed in its last moment, by the slowest allowed clock.
    keptSeconds: sessions.accessToken + CLOCK_SKEW_SECONDS,
    clock,
    agreement,
    onChange: (kind, kids) => {
      metrics.keysChanged(kind, 'taken', directories[kind]);
      logger.info({ kind, directory: directories[kind], keys: kids }, 'new keys are in use');
      changed(directories[kind]);
    },
    onRestored: (kind) => {
      metrics.keysChanged(kind, 'restored', directories[kind]);
      logger.info({ kind, directory: directories[kind] }, 'the keys on disk are again those in use');
    },
    onError: (kind, error) => {
      metrics.keysChanged(kind, 'refused', directories[kind]);
      logger.error(
        { err: error, kind, directory: directories[kind] },
        'new keys cannot be used; the old ones stay in use',
      );
    },
  };
  const signing = await followSigningKeys(keys.signingDir, options);
  const sealing = await followSealingKeys(keys.sealingDir, options);
  const audit = keys.auditDir === undefined ? undefined : await followAuditKeys(keys.auditDir, options);
  if (audit === undefined) {
    logger.warn(
      { setting: 'keys.auditDir' },
      'the audit log is not signed, because keys.auditDir is not set; create a key with: portcullis keys rotate',
    );
  }
  const followed = new Map<KeyKind, FollowedKeys>([
    ['signing', signing],
    ['sealing', sealing],
  ]);
  if (audit !== undefined) followed.set('audit', audit);
  for (const [kind, one] of followed) {
    metrics.observeKey(kind, () => one.keys.issuedAt);
    metrics.observeLackedKey(kind, () => new Set(one.held().lacked.flatMap(({ replicas }) => replicas)).size);
  }
  return {
    signing: signing.keys,
    sealing: sealing.keys,
    verifying: {
      get keys() {
        return signing.keys.publicJwks.keys;
      },
    },
    withAuditKey: (about) => ({
      ...about,
      get key() {
        return audit?.keys.current;
      },
    }),
    cookieKeys: cookieKeysOf(sealing.keys),
    ofReplicas: keysOfReplicas(followed, agreement, logger),
    ahead: () => agreement.ahead(readableKeys(followed)),
    stop: () => followed.forEach((one) => one.stop()),
  };
}

type FollowedKeys = Followed<{ readonly issuedAt: number }>;

function registeredKeys(followed: ReadonlyMap<KeyKind, FollowedKeys>, agreement: KeyAgreement): ReplicaKeys {
  const held = [...followed.values()].map((one) => one.held());
  const has = held.flatMap((one) => one.has);
  const thumbprints = Object.fromEntries(
    held.flatMap((one) => Object.entries(one.thumbprints)).filter(([id]) => has.includes(id)),
  );
  // Another replica follows what is in use here, so a choice that may still go back is not registered.
  return { has, uses: held.map(({ uses }) => uses).filter((id) => agreement.mayBeFollowed(id)), thumbprints };
}

const readableKeys = (followed: ReadonlyMap<KeyKind, FollowedKeys>): readonly string[] =>
  [...followed.values()].flatMap((one) => one.held().reads);

const thumbprintsOf = (followed: ReadonlyMap<KeyKind, FollowedKeys>): Thumbprints =>
  Object.assign({}, ...[...followed.values()].map((one) => one.held().thumbprints)) as Thumbprints;

function keysOfReplicas(
  followed: ReadonlyMap<KeyKind, FollowedKeys>,
  agreement: KeyAgreement,
  logger: Pick<Logger, 'info' | 'warn'>,
): KeysOfReplicas {
  const registered = (): ReplicaKeys => registeredKeys(followed, agreement);
  const reported = new Map<KeyKind, string>();
  const report = (): void => {
    for (const [kind, one] of followed) {
      const { lacked } = one.held();
      const before = reported.get(kind) ?? '[]';
      const now = JSON.stringify(lacked);
      if (now === before) continue;
      reported.set(kind, now);
      for (const { kid, replicas } of lacked) {
        logger.warn({ kind, key: kid, replicas }, 'a new key is not used, because live replicas cannot read it');
      }
      if (lacked.length === 0) logger.info({ kind }, 'every live replica can read the new keys');
    }
  };
  return {
    registered,
    seen: (live: readonly KeyHolder[], nowMs: number) => {
      agreement.seen(live, registered().has, nowMs, {
        reads: readableKeys(followed),
        thumbprints: thumbprintsOf(followed),
      });
      report();
    },
    unseen: () => agreement.unseen(),
  };
}

/**
 * Cookies must verify on every replica and after a restart, so their keys are derived from the sealing keys, which
 * all replicas have.
 */
function cookieKeysOf(sealing: SealingKeys): () => readonly string[] {
  let known: { readonly of: SealingKeys['all']; readonly keys: readonly string[] } | undefined;
  return () => {
    const { current, all } = sealing;
    if (known?.of !== all) {
      const others = [...all.values()].filter((key) => !Buffer.from(key).equals(current.key));
      known = { of: all, keys: [current.key, ...others].map(cookieKey) };
    }
    return known.keys;
  };
}

const cookieKey = (key: Uint8Array): string =>
  Buffer.from(hkdfSync('sha256', createSecretKey(key), new Uint8Array(), 'portcullis cookies', 32)).toString(
    'base64url',
  );
