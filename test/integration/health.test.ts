/**
 * The health that Portcullis reports for clusters and identity providers that are healthy, failing, slow,
 * incompatible or missing.
 */
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from 'node:net';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';
import { createProviderProbe } from '../../src/idp/provider-health.ts';
import { createClusterProbe, type UpstreamCluster } from '../../src/proxy/proxy.ts';
import { startTestInstance } from '../support/instance.ts';
import { freePort } from '../../demo/ports.ts';

const TOKEN = 'canary-token-of-the-gate';

let trusted: DemoCertificates;
let otherName: DemoCertificates;
beforeAll(async () => {
  trusted = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
  otherName = await makeCertificates(['elsewhere.example.com'], Date.now());
});

async function port(server: TcpServer | Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const clusterAt = (at: number, change: Partial<UpstreamCluster> = {}): UpstreamCluster => ({
  name: 'prod',
  hosts: [],
  impersonate: { groups: '*', extra: [], constrained: 'off' },
  server: `https://127.0.0.1:${at}`,
  ca: trusted.ca,
  token: () => TOKEN,
  ...change,
});

interface Heard {
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** An API server that responds to each path with a status; 404 where none is given. */
async function apiServer(statuses: Readonly<Record<string, number>>, pair = trusted) {
  const heard: Heard[] = [];
  const server = createServer({ cert: pair.cert, key: pair.key }, (req, res) => {
    heard.push({ url: req.url ?? '', headers: req.headers });
    const status = statuses[req.url ?? ''] ?? 404;
    res.writeHead(status, status === 302 ? { location: 'https://elsewhere.example.com/' } : {}).end('canary-words');
  });
  return { heard, cluster: clusterAt(await port(server)) };
}

describe('a cluster', () => {
  it('is up when it reports that it is ready, and is probed with our own token', async () => {
    const { cluster, heard } = await apiServer({ '/readyz': 200 });
    expect(await createClusterProbe(cluster)()).toBeUndefined();
    expect(heard).toHaveLength(1);
    expect(heard[0]).toMatchObject({ url: '/readyz', headers: { authorization: `Bearer ${TOKEN}` } });
    expect(Object.keys(heard[0]?.headers ?? {}).filter((name) => name.startsWith('impersonate'))).toEqual([]);
  });

  it.each([403, 404])('is probed for its version where we may not read its readiness (%i)', async (status) => {
    const { cluster, heard } = await apiServer({ '/readyz': status, '/version': 200 });
    expect(await createClusterProbe(cluster)()).toBeUndefined();
    expect(heard.map(({ url }) => url)).toEqual(['/readyz', '/version']);
  });

  it.each([
    [{ '/readyz': 500 }, 'It answered 500.'],
    [{ '/readyz': 401 }, 'It rejected our token (401). Check clusters[].tokenFile.'],
    [{ '/readyz': 403, '/version': 403 }, 'It lets our account read neither /readyz nor /version (403).'],
    [{ '/readyz': 404, '/version': 401 }, 'It rejected our token (401).'],
    [{ '/readyz': 302 }, 'It answered 302.'],
  ])('that responds with %o is down: %s', async (statuses, message) => {
    const { cluster } = await apiServer(statuses);
    const problem = await createClusterProbe(cluster)();
    expect(problem).toContain(message);
    expect(problem).not.toMatch(/canary|127\.0\.0\.1/);
  });

  it('is down where nothing listens', async () => {
    expect(await createClusterProbe(clusterAt(await freePort()))()).toContain('refused the connection');
  });

  it('is down where another CA has issued its certificate, and is not sent our token', async () => {
    const { cluster, heard } = await apiServer({ '/readyz': 200 });
    expect(await createClusterProbe({ ...cluster, ca: otherName.ca })()).toBe(
      'Its certificate is not trusted. Check caFile.',
    );
    expect(heard).toEqual([]);
  });

  it('is down where its certificate is issued for another name', async () => {
    const { cluster, heard } = await apiServer({ '/readyz': 200 }, otherName);
    expect(await createClusterProbe({ ...cluster, ca: otherName.ca })()).toBe('Its certificate is for another name.');
    expect(heard).toEqual([]);
  });

  it('is down where it accepts the connection and then sends nothing', async () => {
    const server = createServer({ cert: trusted.cert, key: trusted.key }, () => undefined);
    const cluster = clusterAt(await port(server));
    onTestFinished(() => server.closeAllConnections());
    expect(await createClusterProbe(cluster, { timeoutSeconds: 0.3 })()).toBe('It did not respond within 0.3 seconds.');
  });

  it('is down where the TLS handshake does not complete in time', async () => {
    const silent = createTcpServer((socket) => void socket.on('error', () => undefined));
    const cluster = clusterAt(await port(silent));
    expect(await createClusterProbe(cluster, { timeoutSeconds: 0.3 })()).toBe('It did not respond within 0.3 seconds.');
  });

  it('is down where its response does not end', async () => {
    const server = createServer({ cert: trusted.cert, key: trusted.key }, (_req, res) => {
      const more = (): boolean => res.write('x'.repeat(16_384), () => void (res.destroyed || more()));
      more();
    });
    const cluster = clusterAt(await port(server));
    onTestFinished(() => server.closeAllConnections());
    expect(await createClusterProbe(cluster)()).toBe('Its response is too long.');
  });

  it('is down where it cuts the connection in the middle of its response', async () => {
    const server = createServer({ cert: trusted.cert, key: trusted.key }, (_req, res) => {
      res.writeHead(200, { 'content-length': 10 }).write('half', () => res.destroy());
    });
    expect(await createClusterProbe(clusterAt(await port(server)))()).toBe(
      'It closed the connection before it responded.',
    );
  });

  it('is down where it switches to a protocol that was not requested', async () => {
    const server = createServer({ cert: trusted.cert, key: trusted.key }, (req) => {
      req.socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: strange\r\n\r\n');
    });
    expect(await createClusterProbe(clusterAt(await port(server)))()).toBe('It answered 101.');
  });

  it('is down where our token cannot be read, and is not called', async () => {
    const { cluster, heard } = await apiServer({ '/readyz': 200 });
    const token = (): string => {
      throw new Error('ENOENT /secret/token');
    };
    expect(await createClusterProbe({ ...cluster, token })()).toBe(
      'Our token for it cannot be read. Check clusters[].tokenFile.',
    );
    expect(heard).toEqual([]);
  });
});

describe('an identity provider', () => {
  async function issuer(answer: (origin: string) => RequestListener): Promise<string> {
    let listener: RequestListener = () => undefined;
    const server = createHttpServer((req, res) => listener(req, res));
    const origin = `http://127.0.0.1:${await port(server)}`;
    listener = answer(origin);
    onTestFinished(() => server.closeAllConnections());
    return origin;
  }
  const probe = (at: string, timeoutSeconds = 3) =>
    createProviderProbe({ type: 'oidc', issuer: at }, { timeoutSeconds })();

  it('at an address that is never dialled is reported as blocked by Portcullis', async () => {
    const problem = await probe('https://169.254.169.254');
    expect(problem).toContain('Portcullis did not connect');
    expect(problem).toContain('No setting allows it.');
    expect(problem).not.toContain('169.254');
  });

  it('is up when its discovery document exists and names its issuer', async () => {
    const asked: string[] = [];
    const at = await issuer((origin) => (req, res) => {
      asked.push(req.url ?? '');
      res.end(JSON.stringify({ issuer: `${origin}/realms/corp` }));
    });
    expect(await probe(`${at}/realms/corp`)).toBeUndefined();
    expect(asked).toEqual(['/realms/corp/.well-known/openid-configuration']);
  });

  it.each<[string, (origin: string) => RequestListener, string]>([
    ['responds with 503', () => (_req, res) => void res.writeHead(503).end('canary-words'), 'It answered 503'],
    [
      'redirects elsewhere',
      (origin) => (req, res) =>
        void (req.url === '/there'
          ? res.end(JSON.stringify({ issuer: origin }))
          : res.writeHead(302, { location: '/there' }).end()),
      'It answered 302',
    ],
    [
      'names another issuer',
      () => (_req, res) => void res.end('{"issuer":"https://canary.example.com"}'),
      'Its discovery document names another issuer.',
    ],
    [
      'returns another document',
      () => (_req, res) => void res.end('<html>canary'),
      'It returned no valid discovery document.',
    ],
    ['cuts the connection', () => (req) => void req.socket.destroy(), 'It closed the connection before it responded.'],
  ])('that %s is down', async (_what, answer, message) => {
    const problem = await probe(await issuer(answer));
    expect(problem).toContain(message);
    expect(problem).not.toMatch(/canary|127\.0\.0\.1/);
  });

  it('is down where it does not respond in time', async () => {
    expect(await probe(await issuer(() => () => undefined), 0.3)).toBe('It did not respond within 0.3 seconds.');
  });

  it('is down where nothing listens', async () => {
    expect(await probe(`http://127.0.0.1:${await freePort()}`)).toContain('refused the connection');
  });

  it('is down where its certificate is not trusted', async () => {
    const server = createServer({ cert: trusted.cert, key: trusted.key }, (_req, res) => void res.end('{}'));
    const at = `https://localhost:${await port(server)}`;
    const other = createProviderProbe({ type: 'oidc', issuer: at, ca: () => otherName.ca });
    expect(await other()).toBe('Its certificate is not trusted. Check caFile.');
  });
});

describe('GitHub', () => {
  const at = async (status: number) => {
    const asked: Heard[] = [];
    const server = createServer({ cert: trusted.cert, key: trusted.key }, (req, res) => {
      asked.push({ url: req.url ?? '', headers: req.headers });
      res.writeHead(status).end();
    });
    const host = `localhost:${await port(server)}`;
    const ca = () => trusted.ca;
    return { asked, probe: createProviderProbe({ type: 'github', issuer: 'https://github.com', host, ca }) };
  };

  it.each([200, 302, 404])('is up when it responds at all, and is sent no credential (%i)', async (status) => {
    const { asked, probe } = await at(status);
    expect(await probe()).toBeUndefined();
    expect(asked.map(({ url }) => url)).toEqual(['/robots.txt']);
    expect(asked[0]?.headers).not.toHaveProperty('authorization');
  });

  it('is down when it reports that it is', async () => {
    expect(await (await at(503)).probe()).toBe('It answered 503.');
  });
});

describe('a whole server', () => {
  const ADMIN = 'urn:portcullis:admin';

  it('reports the health of both to admins and in its metrics', async () => {
    const instance = await startTestInstance();
    onTestFinished(() => instance.stop());
    const root = await instance.connect();
    onTestFinished(() => root.close());
    const { accessToken } = await root.signIn('root', { resource: ADMIN });
    const metrics = async (): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${instance.server.ports.ops}/metrics`);
      return answer.text();
    };
    expect(await metrics()).not.toContain('portcullis_component_up{');
    const providers = await root.get('/-/admin/api/v1/providers', accessToken);
    expect(providers.body['providers']).toMatchObject([{ name: 'demo', state: 'up' }]);
    await instance.cluster.close();
    const clusters = await root.get('/-/admin/api/v1/clusters', accessToken);
    expect(clusters.body['clusters']).toMatchObject([{ name: 'demo', state: 'down' }]);
    expect(JSON.stringify(clusters.body)).toContain('It refused the connection');
    expect(await metrics()).toContain('portcullis_component_up{kind="provider",name="demo"} 1');
    expect(await metrics()).toContain('portcullis_component_up{kind="cluster",name="demo"} 0');
  });
});
