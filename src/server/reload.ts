/** Certificates and authorities that are replaced while the gate runs: each new handshake has the new ones, and what is open goes on. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { TlsFiles } from '../config/config.ts';
import { followFiles } from '../config/followed-files.ts';
import type { Logger } from '../telemetry/telemetry.ts';

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
   * Connections that stand were verified under the authorities of their time and stay.
   * @returns gives the authorities as they stand, in PEM
   * @throws where the file cannot be read now or holds no certificate
   */
  authorities(caFile: string): () => string;
  stop(): void;
}

/** @param reloaded is told the names of files of which the new content is in use */
export function createReloading(
  logger: Pick<Logger, 'info' | 'error'>,
  reloaded: (files: readonly string[]) => void = () => undefined,
): Reloading {
  const stops: (() => void)[] = [];
  const follow = (paths: readonly string[], apply: (contents: readonly string[]) => void): void => {
    const stop = followFiles({
      paths,
      apply: (contents) => {
        apply(contents);
        logger.info({ files: paths }, 'new certificates are in use');
        reloaded(paths);
      },
      onFault: (error) =>
        logger.error({ err: error, files: paths }, 'new certificates cannot be used; the old ones stay in use'),
    });
    stops.push(stop);
  };
  return {
    certificate: ({ certFile, keyFile }) => {
      let take: ((pair: CertificatePair) => void) | undefined;
      let current: CertificatePair | undefined;
      const paths = [certFile, keyFile];
      // Followed before it is read for the first time, so that no change falls between the two.
      follow(paths, ([cert = '', key = '']) => {
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
      let current = '';
      follow([caFile], ([pem = '']) => {
        current = certificatesIn(pem);
      });
      current = certificatesIn(readFileSync(caFile, 'utf8'));
      return () => current;
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

/** Node takes a file without any certificate for a list of none, and would then trust nobody in silence. */
function certificatesIn(pem: string): string {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  for (const block of blocks) void new X509Certificate(block);
  if (blocks.length === 0) throw new Error('there is no certificate in the file');
  return pem;
}
