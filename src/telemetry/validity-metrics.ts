/** How long certificates last, and how old keys are. */
import { X509Certificate } from 'node:crypto';
import { counter, gauge, observed, observedByLabel, type MetricsRegistry } from './instruments.ts';
import type { KeyChange, Metrics } from './types.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

type ValidityMetrics = Pick<Metrics, 'observeCertificate' | 'observeKey' | 'keysChanged' | 'observeSealed'>;

export function validityMetrics(registry: MetricsRegistry): ValidityMetrics {
  const certificates = new Map<string, () => number>();
  const keys = new Map<string, () => number>();
  observedByLabel(
    registry,
    'certificate_expiry_seconds',
    {
      help: 'Seconds until the certificate in use ends; below 0 it has ended. Of the chains of `api` and `web` the first certificate to end, and of all clusters the first `upstream_ca`.',
      label: 'kind',
    },
    () => readable(certificates),
  );
  observedByLabel(
    registry,
    'key_age_seconds',
    { help: 'Age of the key that is in use now: `signing`, `sealing`, `audit`.', label: 'kind' },
    () => readable(keys),
  );
  const changes = counter(
    registry,
    'key_changes_total',
    'Changes of files that are followed: `taken` into use; `refused` because a file is no good, and what was in use stays; `restored` to that. `signing`, `sealing`, `audit`; of TLS `certificate` and `authorities`; `secret` is a password, a client secret or a token.',
    ['kind', 'outcome'],
  );
  const refused = gauge(
    registry,
    'key_files_refused',
    'Directories and files whose content is refused now, so that what they held before is in use. Kinds as of `portcullis_key_changes_total`.',
    ['kind'],
  );
  const standing = new Map<string, Set<string>>();
  return {
    keysChanged(kind: string, outcome: KeyChange, files: string) {
      changes.inc({ kind, outcome });
      const ofKind = standing.get(kind) ?? new Set();
      standing.set(kind, ofKind);
      if (outcome === 'refused') ofKind.add(files);
      else ofKind.delete(files);
      refused.set({ kind }, ofKind.size);
    },
    observeSealed: (read) =>
      observed(
        registry,
        'sealed_with_old_key',
        'Values in the store that an older sealing key had sealed when this replica last looked; it sealed them anew. At 0 the older keys may go.',
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
  };
}

/** What cannot be read is left out: an alert on absence is clearer than a number that is made up. */
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

/** Epoch seconds. A certificate is parsed once for as long as it is the same. @param of which of several counts */
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
