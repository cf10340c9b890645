/**
 * Secrets, certificates and CA bundles that are replaced while the server runs: each new use or handshake has the
 * new ones, and open connections continue.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { TlsFiles } from '../config/config.ts';
import { readSecretFile, secretIn } from '../config/files.ts';
import { followFiles } from '../config/followed-files.ts';
import type { Logger, Metrics } from '../telemetry/telemetry.ts';

export interface CertificatePair {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface Reloading {
  /** @throws if the two cannot be read now */
  certificate(files: TlsFiles): {
    /** The current pair. */
    current(): CertificatePair;
    /** @param onPair receives each new pair; if it throws, the old one stays and the error is logged */
    onChange(onPair: (pair: CertificatePair) => void): void;
  };
  /**
   * Open connections were verified with the CAs of their time and stay. A file that is requested twice is watched
   * once.
   * @returns a function that returns the current CA certificates, in PEM; the same string until they change
   * @throws if the file cannot be read now, holds no certificate, or an incomplete one
   */
  caBundle(caFile: string): () => string;
  /**
   * A password, a client's secret, a token. A file that is requested twice without a check is watched once. While the
   * file is missing or empty, as it is halfway through a rotation, the last valid one stays in use, and that is
   * reported as it is for a certificate.
   * @param check throws if the file's content is invalid: then the last valid one stays in use as well
   * @returns a function that returns the current secret
   * @throws as `readSecretFile`, if it cannot be read now, and as `check`
   */
  secret(file: string, check?: (secret: string) => void): () => string;
  stop(): void;
}

export interface ReloadingDeps {
  readonly logger: Pick<Logger, 'info' | 'error'>;
  readonly metrics: Pick<Metrics, 'keysChanged'>;
  /** Called with the names of files whose new content is in use. */
  readonly reloaded?: (files: readonly string[]) => void;
}

export function createReloading({ logger, metrics, reloaded = () => undefined }: ReloadingDeps): Reloading {
  const stops: (() => void)[] = [];
  const follow = (kind: FileKind, paths: readonly string[], apply: (contents: readonly string[]) => void): void => {
    const files = paths.join(' ');
    const stop = followFiles({
      paths,
      apply: (contents) => {
        apply(contents);
        metrics.keysChanged(kind, 'taken', files);
        logger.info({ kind, files: paths }, 'new files are in use');
        reloaded(paths);
      },
      onError: (error) => {
        metrics.keysChanged(kind, 'refused', files);
        logger.error({ err: error, kind, files: paths }, 'new files cannot be used; the old ones stay in use');
      },
    });
    stops.push(stop);
  };
  const followed = new Map<string, () => string>();
  const followCaBundle = (caFile: string): (() => string) => {
    let current: string | undefined;
    // Watched before it is read for the first time, so that no change is missed in between.
    follow('authorities', [caFile], ([pem = '']) => {
      current = certificatesIn(caFile, pem);
    });
    const first = certificatesIn(caFile, readFileSync(caFile, 'utf8'));
    return () => current ?? first;
  };
  const followSecret = (file: string, check: (secret: string) => void = () => undefined): (() => string) => {
    let current: string | undefined;
    // Watched before it is read for the first time, so that no change is missed in between.
    follow('secret', [file], ([text = '']) => {
      const next = secretIn(file, text);
      check(next);
      current = next;
    });
    const first = readSecretFile(file);
    check(first);
    return () => current ?? first;
  };
  const secrets = new Map<string, () => string>();
  return {
    secret: (file, check) => {
      if (check !== undefined) return followSecret(file, check);
      const current = secrets.get(file) ?? followSecret(file);
      secrets.set(file, current);
      return current;
    },
    certificate: ({ certFile, keyFile }) => {
      let onPair: ((pair: CertificatePair) => void) | undefined;
      let current: CertificatePair | undefined;
      const paths = [certFile, keyFile];
      // Watched before it is read for the first time, so that no change is missed in between.
      follow('certificate', paths, ([cert = '', key = '']) => {
        onPair?.({ cert, key });
        current = { cert, key };
      });
      const [cert = '', key = ''] = paths.map((path) => readFileSync(path, 'utf8'));
      current ??= { cert, key };
      return {
        current: () => current ?? { cert, key },
        onChange: (listener) => {
          onPair = listener;
        },
      };
    },
    caBundle: (caFile) => {
      const current = followed.get(caFile) ?? followCaBundle(caFile);
      followed.set(caFile, current);
      return current;
    },
    stop: () => stops.splice(0).forEach((stop) => stop()),
  };
}

/**
 * Gives a server another certificate, from the next handshake on.
 * @param context the complete context: options that it does not name go back to Node's default
 * @throws if certificate and key do not belong together; the old ones then stay
 */
export function renewContext(server: Pick<Server, 'setSecureContext'>, context: SecureContextOptions): void {
  // Tested first, so that a broken pair changes nothing.
  createSecureContext(context);
  server.setSecureContext(context);
}

/** Values of the metric label `kind`. */
type FileKind = 'secret' | 'certificate' | 'authorities';

const CERTIFICATE = /^-----BEGIN CERTIFICATE-----[^-]+^-----END CERTIFICATE-----[^\S\n]*$/gm;
/**
 * The rest of an incomplete block, including its first or last line, or a block with another one's first line
 * after its last.
 */
const BROKEN = /-----(?:BEGIN|END) CERTIFICATE|(?:^|\n)-{1,5}[BEGIN]{0,5}$/;

/**
 * Node takes a file without any certificate for an empty list, and would then silently trust no one; of a
 * half-written file, or one without a newline between two blocks, it takes only what comes before the error. So
 * both are rejected.
 */
function certificatesIn(file: string, pem: string): string {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error(`there is no certificate in ${file}`);
  if (BROKEN.test(pem.replaceAll(CERTIFICATE, '')))
    throw new Error(`a certificate in ${file} is incomplete: each needs separate lines, from BEGIN to END`);
  for (const block of blocks) void new X509Certificate(block);
  return pem;
}
