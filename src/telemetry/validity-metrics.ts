/** Metrics of certificates and keys: expiry and age. */
import { X509Certificate } from 'node:crypto';
import { counter, gauge, observed, observedByLabel, type MetricsRegistry } from './instruments.ts';
import type { KeyChange, Metrics } from './types.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

type ValidityMetrics = Pick<
  Metrics,
  'observeCertificate' | 'observeKey' | 'observeLackedKey' | 'keysChanged' | 'observeSealed'
>;

export function validityMetrics(registry: MetricsRegistry): ValidityMetrics {
  const certificates = new Map<string, () => number>();
  const keys = new Map<string, () => number>();
  const lacked = new Map<string, () => number>();
  observedByLabel(
    registry,
    'certificate_expiry_seconds',
    {
      help: 'Seconds until the certificate in use expires; below 0 it has expired. For `api` and `web` the first certificate of the chain to expire, for `upstream_ca` the first of all clusters.',
      label: 'kind',
    },
    () => readable(certificates),
  );
  observedByLabel(
    registry,
    'key_age_seconds',
    { help: 'Age of the key in use: `signing`, `sealing`, `audit`.', label: 'kind' },
    () => readable(keys),
  );
  observedByLabel(
    registry,
    'key_lacking_replicas',
    {
      help: 'Live replicas that cannot read a new key, which is therefore not used, as this replica sees it: `signing`, `sealing`, `audit`. The log names them.',
      label: 'kind',
    },
    () => readable(lacked),
  );
  const changes = counter(
    registry,
    'key_changes_total',
    'Changes of watched files: `taken` into use; `refused` because a file is invalid, so that the old content stays in use; `restored` to the content in use. `signing`, `sealing`, `audit`; of TLS `certificate` and `authorities`; `secret` is a password, a client secret or a token.',
    ['kind', 'outcome'],
  );
  const refused = gauge(
    registry,
    'key_files_refused',
    'Directories and files whose content is invalid now, so that their old content is in use. Kinds as in `portcullis_key_changes_total`.',
    ['kind'],
  );
  const rejectedFiles = new Map<string, Set<string>>();
  return {
    keysChanged(kind: string, outcome: KeyChange, files: string) {
      changes.inc({ kind, outcome });
      const ofKind = rejectedFiles.get(kind) ?? new Set();
      rejectedFiles.set(kind, ofKind);
      if (outcome === 'refused') ofKind.add(files);
      else ofKind.delete(files);
      refused.set({ kind }, ofKind.size);
    },
    observeSealed: (read) =>
      observed(
        registry,
        'sealed_with_old_key',
        'Values in the store that an older sealing key had sealed at the last check of this replica, which re-encrypted them. At 0 the older keys can be removed.',
        read,
      ),
    observeCertificate(kind, read) {
      const before = certificates.get(kind);
      const end = endOf(read, kind === 'upstream_ca' ? Math.max : Math.min);
      const left = (): number => end() - Date.now() / 1000;
      certificates.set(kind, before === undefined ? left : () => Math.min(before(), left()));
    },
    observeKey(kind, madeAt) {
      keys.set(kind, () => Date.now() / 1000 - madeAt());
    },
    observeLackedKey: (kind, replicas) => void lacked.set(kind, replicas),
  };
}

/** A value that cannot be read is omitted: an alert on absence is clearer than an invented number. */
function readable(reads: ReadonlyMap<string, () => number>): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  for (const [name, read] of reads) {
    try {
      values.set(name, read());
    } catch {
      values.delete(name);
    }
  }
  return values;
}

/**
 * Returns epoch seconds. A certificate is parsed once for as long as it is the same.
 * @param of selects one of several ends
 */
function endOf(read: () => string, of: (...ends: readonly number[]) => number): () => number {
  let known: { readonly pem: string; readonly end: number } | undefined;
  return () => {
    const pem = read();
    if (known?.pem !== pem) {
      const ends = (pem.match(CERTIFICATE) ?? []).map((block) => new X509Certificate(block).validToDate.getTime());
      if (ends.length === 0) throw new Error('there is no certificate');
      known = { pem, end: of(...ends) / 1000 };
    }
    return known.end;
  };
}
