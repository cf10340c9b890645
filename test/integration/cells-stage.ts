/**
 * The two cells of deploy/examples/cells: each configuration through the real loader, each server with a Redis and keys of its own, and one identity
 * provider and one embedded cluster for both. Addresses are of loopback, and the clusters have no host names; all else is the example's.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse, stringify } from 'yaml';
import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';
import { USERS } from '../../demo/demo.ts';
import type { DemoUpstream } from '../../demo/files.ts';
import { startIdentityProvider } from '../../demo/idp/provider.ts';
import { freePort } from '../../demo/ports.ts';
import { startDemoCluster } from '../../demo/upstream.ts';
import { generateKeys } from '../../src/config/keys.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { ROOT } from '../support/deployed.ts';
import { temporaryFolder, untilSettled } from '../support/instance.ts';
import { startRedis } from '../support/redis.ts';
import { staged, type Stops } from '../support/staged.ts';

export type CellName = 'a' | 'b';

export interface CellExample {
  readonly publicUrl: string;
  readonly listen: { readonly api: { readonly publicUrl: string } };
  readonly store: { readonly redis: { readonly url: string } };
  readonly providers: readonly object[];
  readonly clusters: readonly { readonly name: string; readonly hosts?: readonly string[] }[];
  readonly admin: object;
}

export const readCell = async (cell: CellName): Promise<CellExample> =>
  parse(await readFile(`${ROOT}deploy/examples/cells/cell-${cell}.yaml`, 'utf8')) as CellExample;

export interface Cell {
  readonly web: string;
  readonly api: string;
  readonly server: RunningServer;
}

export interface Cells {
  readonly folder: string;
  readonly ca: string;
  readonly a: Cell;
  readonly b: Cell;
  stop(): Promise<void>;
}

/** Cookies are for a host, whatever its port: the cells have two hosts, as in the example. */
const HOSTS = { a: 'localhost', b: '127.0.0.1' } as const;

const SECRET = 'secret-of-both-cells';

export const startCells = (): Promise<Cells> => staged(start);

async function start(stops: Stops): Promise<Omit<Cells, 'stop'>> {
  const folder = await temporaryFolder();
  stops.push(() => rm(folder, { recursive: true, force: true }));
  const certificates = await makeCertificates(Object.values(HOSTS), Date.now());
  const cluster = await startDemoCluster({ port: await freePort(), certificates, embedded: true });
  stops.push(() => cluster.close());
  const web = { a: `http://${HOSTS.a}:${await freePort()}`, b: `http://${HOSTS.b}:${await freePort()}` };
  const identityProvider = await startIdentityProvider({
    port: 0,
    users: USERS.map((user) => ({ ...user, groups: user.name === 'root' ? ['platform'] : ['developers'] })),
    client: {
      clientId: 'portcullis',
      clientSecret: SECRET,
      redirectUris: Object.values(web).map((url) => `${url}/callback/corp`),
    },
  });
  stops.push(() => identityProvider.close());
  const { issuer } = identityProvider;
  const one = (cell: CellName): Promise<Cell> =>
    startCell(
      cell,
      { folder: join(folder, cell), web: web[cell], issuer, certificates, upstream: cluster.upstream },
      stops,
    );
  const [a, b] = await Promise.all([one('a'), one('b')]);
  return { folder, ca: certificates.ca, a, b };
}

interface Place {
  /** In the place of `/etc/portcullis`. */
  readonly folder: string;
  readonly web: string;
  readonly issuer: string;
  readonly certificates: DemoCertificates;
  readonly upstream: DemoUpstream;
}

async function startCell(cell: CellName, place: Place, stops: Stops): Promise<Cell> {
  const redis = await startRedis();
  stops.push(() => redis.stop());
  const example = await readCell(cell);
  await writePlace(example, place);
  const port = await freePort();
  const api = `https://${HOSTS[cell]}:${port}`;
  const at = (name: string): string => join(place.folder, name);
  const changed = {
    ...example,
    publicUrl: place.web,
    listen: {
      api: { ...example.listen.api, address: `127.0.0.1:${port}`, publicUrl: api, publicCaFile: at('ca.crt') },
      web: { address: `127.0.0.1:${new URL(place.web).port}`, tls: 'off' },
      ops: { address: '127.0.0.1:0' },
    },
    store: { redis: { url: redis.url } },
    providers: example.providers.map((provider) => ({ ...provider, issuer: place.issuer })),
    clusters: example.clusters.map(({ hosts: _hosts, ...rest }) => ({ ...rest, server: place.upstream.server })),
    audit: { sinks: [{ type: 'file', path: at('audit.log') }] },
    shutdown: { delay: '0s', grace: '1s' },
    telemetry: { logLevel: 'error' },
  };
  await writeFile(at('portcullis.yaml'), stringify(changed).replaceAll('/etc/portcullis/', `${place.folder}/`));
  const loaded = await loadConfig({ file: at('portcullis.yaml'), env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const server = await startServer(loaded.value.config);
  stops.push(() => server.stop());
  await server.ready;
  await untilSettled(server.store);
  return { web: place.web, api, server };
}

/** Writes the files that the example names. */
async function writePlace({ clusters }: CellExample, { folder, certificates, upstream }: Place): Promise<void> {
  const at = (name: string): string => join(folder, name);
  const files = {
    'tls/tls.crt': certificates.cert,
    'tls/tls.key': certificates.key,
    'ca.crt': certificates.ca,
    'oidc/client-secret': SECRET,
    ...Object.fromEntries(clusters.map(({ name }) => [`${name}/ca.crt`, upstream.ca])),
    ...Object.fromEntries(clusters.map(({ name }) => [`${name}/token`, upstream.token])),
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(at(name)), { recursive: true });
    await writeFile(at(name), text, { mode: 0o600 });
  }
  await generateKeys({ signingDir: at('keys/signing'), sealingDir: at('keys/sealing'), auditDir: at('keys/audit') });
}
