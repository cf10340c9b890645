/** An issuer of workload tokens over https, as GitHub's or a cluster's own: discovery, keys, and tokens that say what a test wants. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { makeCertificates } from '../../demo/certificates.ts';

export interface WorkloadIssuer {
  readonly issuer: string;
  /** PEM that its certificate is signed by. */
  readonly ca: string;
  /** What it publishes, by path. */
  readonly documents: Map<string, object>;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** Everything is answered 500. */
  down: boolean;
  /** A good token of a job, with what is given in place of its own. `undefined` leaves a claim out. */
  token(claims?: Readonly<Record<string, unknown>>, options?: TokenOptions): Promise<string>;
  close(): Promise<void>;
}

interface TokenOptions {
  readonly header?: Record<string, unknown>;
  readonly key?: CryptoKey | Uint8Array;
}

export async function startWorkloadIssuer(audience: string): Promise<WorkloadIssuer> {
  const { ca, cert, key } = await makeCertificates(['localhost'], Date.now());
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', use: 'sig' }] };
  const server = createServer({ cert, key });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  const documents = new Map<string, object>([
    ['/.well-known/openid-configuration', { issuer, jwks_uri: `${issuer}/jwks` }],
    ['/jwks', jwks],
  ]);
  const standIn: WorkloadIssuer = {
    issuer,
    ca,
    documents,
    asked: [],
    down: false,
    token(claims = {}, options = {}) {
      const now = Math.floor(Date.now() / 1000);
      const good = {
        iss: issuer,
        aud: audience,
        sub: 'repo:example/shop:ref:refs/heads/main',
        jti: randomUUID(),
        iat: now,
        nbf: now,
        exp: now + 600,
        repository: 'example/shop',
        repository_owner: 'example',
      };
      return new SignJWT({ ...good, ...claims })
        .setProtectedHeader({ alg: 'RS256', kid: 'k1', ...options.header })
        .sign(options.key ?? privateKey);
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  server.on('request', (req, res) => {
    standIn.asked.push(req.url ?? '');
    const document = standIn.down ? undefined : documents.get(req.url ?? '');
    res.writeHead(document === undefined ? 500 : 200, { 'content-type': 'application/json' });
    res.end(JSON.stringify(document ?? {}));
  });
  return standIn;
}
