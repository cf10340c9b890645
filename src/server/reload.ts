/**
 * Secrets, certificates and authorities that are replaced while the gate runs: each new use or handshake has the new ones, and what is open
 * goes on.
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
  /** @throws where the two cannot be read now */
  certificate(files: TlsFiles): {
    /** As it stands now. */
    current(): CertificatePair;
    /** @param take is given each new pair; where it throws, the old one stays and the fault is logged */
    onChange(take: (pair: CertificatePair) => void): void;
  };
  /**
   * Connections that stand were verified under the authorities of their time and stay. A file that is asked for twice is followed once.
   * @returns gives the authorities as they stand, in PEM; the same string until they change
   * @throws where the file cannot be read now, holds no certificate, or only half of one
   */
  authorities(caFile: string): () => string;
  /**
   * A password, a client's secret, a token. While the file is away or empty, as it is halfway through a rotation, the last good one stays in
   * use, and that is told as it is told of a certificate.
   * @param judge throws where what the file holds is no good: then the last good one stays in use as well
   * @returns gives the secret as it stands
   * @throws as `readSecretFile`, where it cannot be read now, and as `judge`
   */
  secret(file: string, judge?: (secret: string) => void): () => string;
  stop(): void;
}

export interface ReloadingDeps {
  readonly logger: Pick<Logger, 'info' | 'error'>;
  readonly metrics: Pick<Metrics, 'keysChanged'>;
  /** Is told the names of files of which the new content is in use. */
  readonly reloaded?: (files: readonly string[]) => void;
}

export function createReloading({ logger, metrics, reloaded = () => undefined }: ReloadingDeps): Reloading {
  const stops: (() => void)[] = [];
  const follow = (
    kind: keyof typeof WORDS,
    paths: readonly string[],
    apply: (contents: readonly string[]) => void,
  ): void => {
    const files = paths.join(' ');
    const stop = followFiles({
      paths,
      apply: (contents) => {
        apply(contents);
        metrics.keysChanged(kind, 'taken', files);
        logger.info({ files: paths }, `new ${WORDS[kind]} are in use`);
        reloaded(paths);
      },
      onError: (error) => {
        metrics.keysChanged(kind, 'refused', files);
        logger.error({ err: error, files: paths }, `new ${WORDS[kind]} cannot be used; the old ones stay in use`);
      },
    });
    stops.push(stop);
  };
  const followed = new Map<string, () => string>();
  const followAuthorities = (caFile: string): (() => string) => {
    let current: string | undefined;
    // Followed before it is read for the first time, so that no change falls between the two.
    follow('authorities', [caFile], ([pem = '']) => {
      current = certificatesIn(caFile, pem);
    });
    const first = certificatesIn(caFile, readFileSync(caFile, 'utf8'));
    return () => current ?? first;
  };
  const followSecret = (file: string, judge: (secret: string) => void = () => undefined): (() => string) => {
    let current: string | undefined;
    // Followed before it is read for the first time, so that no change falls between the two.
    follow('secret', [file], ([text = '']) => {
      const next = secretIn(file, text);
      judge(next);
      current = next;
    });
    const first = readSecretFile(file);
    judge(first);
    return () => current ?? first;
  };
  return {
    secret: followSecret,
    certificate: ({ certFile, keyFile }) => {
      let take: ((pair: CertificatePair) => void) | undefined;
      let current: CertificatePair | undefined;
      const paths = [certFile, keyFile];
      // Followed before it is read for the first time, so that no change falls between the two.
      follow('certificate', paths, ([cert = '', key = '']) => {
        take?.({ cert, key });
        current = { cert, key };
      });
      const [cert = '', key = ''] = paths.map((path) => readFileSync(path, 'utf8'));
      current ??= { cert, key };
      return {
        current: () => current ?? { cert, key },
        onChange: (taker) => {
          take = taker;
        },
      };
    },
    authorities: (caFile) => {
      const current = followed.get(caFile) ?? followAuthorities(caFile);
      followed.set(caFile, current);
      return current;
    },
    stop: () => stops.splice(0).forEach((stop) => stop()),
  };
}

/**
 * Gives a server another certificate, from the next handshake on.
 * @param context the whole of it: what it does not name goes back to Node's default
 * @throws where certificate and key do not belong together; the old ones then stay
 */
export function renewContext(server: Pick<Server, 'setSecureContext'>, context: SecureContextOptions): void {
  // Tried out first, so that a broken pair leaves nothing of itself behind.
  createSecureContext(context);
  server.setSecureContext(context);
}

const WORDS = { secret: 'secrets', certificate: 'certificates', authorities: 'authorities' } as const;

const CERTIFICATE = /^-----BEGIN CERTIFICATE-----[^-]+^-----END CERTIFICATE-----[^\S\n]*$/gm;
/** What is left of a block that is cut off, its first or last line included, or that has another one's first line behind its last. */
const BROKEN = /-----(?:BEGIN|END) CERTIFICATE|(?:^|\n)-{1,5}[BEGIN]{0,5}$/;

/**
 * Node takes a file without any certificate for a list of none, and would then trust nobody in silence; of one that is half written, or put
 * together without a line's end between two, it takes what comes before the fault.
 */
function certificatesIn(file: string, pem: string): string {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error(`there is no certificate in ${file}`);
  if (BROKEN.test(pem.replaceAll(CERTIFICATE, '')))
    throw new Error(`a certificate in ${file} is not whole: each needs lines of its own, from BEGIN to END`);
  for (const block of blocks) void new X509Certificate(block);
  return pem;
}
