import { once } from 'node:events';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { Server } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { demoPorts } from '../../demo/demo.ts';
import { runProgram, startProgram } from '../support/program.ts';
import { freePortBase, startTestInstance, temporaryFolder, type TestInstance } from '../support/instance.ts';
import { startRedis } from '../support/redis.ts';
import { makeCertificate } from '../support/upstream.ts';

interface ServerFile {
  readonly listen: Readonly<Record<'api' | 'web' | 'ops', { address: string; keyFile?: string }>>;
}

describe('the server process', () => {
  let instance: TestInstance;
  let folder: string;
  let config: string;
  let ports: ReturnType<typeof demoPorts>;

  beforeAll(async () => {
    instance = await startTestInstance();
    folder = await temporaryFolder();
    ports = demoPorts(await freePortBase());
    config = join(folder, 'portcullis.yaml');
    const file = parse(await readFile(instance.files.config, 'utf8')) as {
      listen: Record<string, { address: string }>;
      audit: { sinks: object[] };
    };
    for (const name of ['api', 'web', 'ops'] as const) {
      const listener = file.listen[name];
      if (listener !== undefined) listener.address = `127.0.0.1:${ports[name]}`;
    }
    file.audit.sinks = [{ type: 'stdout' }, { type: 'file', path: join(folder, 'audit.log') }];
    await writeFile(config, stringify(file));
  });
  afterAll(async () => {
    await instance.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('keeps a browser’s connection for longer than the proxies in front of it do', async () => {
    const answer = await fetch(`${instance.urls.web}/login`, { redirect: 'manual' });
    await answer.body?.cancel();
    expect(answer.headers.get('keep-alive')).toBe('timeout=75');
  });

  it.each(['web', 'ops'] as const)(
    'ends a connection to the %s listener that requests hundreds of responses and reads none',
    async (name) => {
      const { hostname, port } = new URL(instance.urls[name]);
      const socket = connect(Number(port), hostname).pause();
      onTestFinished(() => void socket.destroy());
      await once(socket, 'connect');
      let isOver = false;
      socket.once('error', () => (isOver = true)).once('close', () => (isOver = true));
      const request = `GET /metrics HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`;
      socket.write(request.repeat(500));
      // Who does not read learns of the end by what it writes.
      const more = setInterval(() => socket.write(request), 100);
      onTestFinished(() => clearInterval(more));
      await expect.poll(() => isOver, { timeout: 20_000 }).toBe(true);
    },
  );

  it.each([
    { name: 'web', most: 64 },
    { name: 'ops', most: 16 },
  ] as const)('reads some $most requests to the $name listener in one turn, and responds to all', async (row) => {
    const [CONNECTIONS, EACH] = [60, 4];
    const { hostname, port } = new URL(instance.urls[row.name]);
    const clients = Array.from({ length: CONNECTIONS }, () => connect(Number(port), hostname));
    onTestFinished(() => clients.forEach((client) => client.destroy()));
    let responses = 0;
    for (const client of clients) {
      client.setEncoding('latin1').on('data', (text: string) => (responses += text.split('HTTP/1.1 ').length - 1));
    }
    const request = `GET /livez HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`;
    // A turn accepts one connection.
    for (const client of clients) client.write(request);
    await expect.poll(() => responses, { timeout: 20_000 }).toBe(CONNECTIONS);
    let [most, inThisTurn] = [0, 0];
    const emit = Reflect.get(Server.prototype, 'emit') as (...given: unknown[]) => boolean;
    const spied = vi.spyOn(Server.prototype, 'emit').mockImplementation(function (this: Server, ...given: unknown[]) {
      if (given[0] === 'request') {
        if (inThisTurn === 0) setImmediate(() => (inThisTurn = 0));
        inThisTurn += 1;
        most = Math.max(most, inThisTurn);
      }
      return emit.apply(this, given);
    });
    onTestFinished(() => spied.mockRestore());
    for (const client of clients) client.write(request.repeat(EACH));
    await expect.poll(() => responses, { timeout: 20_000 }).toBe(CONNECTIONS * (1 + EACH));
    // Those of the connection that is one too many come in one piece.
    expect(most).toBeLessThanOrEqual(row.most + EACH);
  });

  it('serves until it receives a signal to stop, then exits 0 with an audit event of both', async () => {
    const server = startProgram(['serve', '--config', config]);
    const ready = async (): Promise<string> =>
      fetch(`http://127.0.0.1:${ports.ops}/readyz?verbose`).then(
        (answer) => answer.text(),
        () => '',
      );
    await expect.poll(ready, { timeout: 20_000 }).toMatch(/readyz check passed/);
    expect(await ready()).toMatch(/store ok.*lease ok.*audit ok/s);
    const metrics = await (await fetch(`http://127.0.0.1:${ports.ops}/metrics`)).text();
    expect(metrics).toMatch(/^portcullis_sessions_active 0$/m);
    expect(metrics).toMatch(/^portcullis_fenced 0$/m);
    server.child.kill();
    const { code, stdout, stderr } = await server.ended;
    expect(code, stderr).toBe(0);
    const verbs = (text: string): string[] =>
      text
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { verb: string }).verb)
        .filter((verb) => !verb.startsWith('audit-'));
    const life = ['server-started', 'configuration-loaded', 'server-stopped'];
    expect(verbs(stdout)).toEqual(life);
    expect(verbs(await readFile(join(folder, 'audit.log'), 'utf8'))).toEqual(life);
  });

  it.each([
    { what: 'Redis Cluster', args: ['--cluster-enabled', 'yes'], says: /Redis Cluster is not supported/ },
    {
      what: 'a Redis that evicts whatever it likes',
      args: ['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-random'],
      says: /set maxmemory-policy to noeviction/,
    },
  ])('does not start on $what, and reports it', async ({ args, says }) => {
    const redis = await startRedis({ args });
    try {
      const file = parse(await readFile(config, 'utf8')) as Record<string, never>;
      const unfit = join(folder, 'unfit.yaml');
      await writeFile(unfit, stringify({ ...file, store: { redis: { url: redis.url } } }));
      const { code, stderr } = await runProgram(['serve', '--config', unfit]);
      expect(code).toBe(1);
      expect(stderr).toMatch(says);
    } finally {
      await redis.stop();
    }
  });

  it.each([
    {
      what: 'a certificate and a key that do not belong together',
      change: async (file: ServerFile): Promise<void> => {
        const other = join(folder, 'other.key');
        await writeFile(other, (await makeCertificate('other.test')).key);
        file.listen.api.keyFile = other;
      },
      says: /key values mismatch/,
    },
    {
      what: 'a port that is taken',
      change: async (file: ServerFile): Promise<void> => {
        file.listen.web.address = new URL(instance.urls.web).host;
      },
      says: /EADDRINUSE/,
    },
  ])('exits 1 on $what, whatever it has opened by then', async ({ change, says }) => {
    const redis = await startRedis();
    const file = parse(await readFile(config, 'utf8')) as ServerFile;
    await change(file);
    const broken = join(folder, 'broken.yaml');
    await writeFile(broken, stringify({ ...file, store: { redis: { url: redis.url } } }));
    const server = startProgram(['serve', '--config', broken]);
    try {
      const { code, stderr } = await server.ended;
      expect(code, stderr).toBe(1);
      expect(stderr).toMatch(says);
    } finally {
      server.child.kill();
      await redis.stop();
    }
  });

  it('closes the audit log last, also where something before it cannot be stopped', async () => {
    const replica = await instance.replica();
    vi.spyOn(replica.guard, 'stop').mockRejectedValue(new Error('cannot be ended'));
    await expect(replica.stop()).rejects.toThrow('cannot be ended');
    vi.spyOn(replica, 'stop').mockResolvedValue();
    const record = await readFile(join(instance.files.directory, 'audit.log'), 'utf8');
    expect(record.match(/"verb":"server-stopped"/g)).toHaveLength(1);
  });

  it('reads its configuration from the file that the environment variable names', async () => {
    const { code, stdout } = await runProgram(['config', 'check'], { env: { PORTCULLIS_CONFIG: config } });
    expect(code).toBe(0);
    expect(stdout).toContain('valid: 1 provider(s), 1 cluster(s), store memory');
  });

  it.each(['serve', 'config check'])(
    'reports every error of a bad configuration together and exits 2: %s',
    async (command) => {
      const bad = join(folder, 'bad.yaml');
      const file = parse(await readFile(config, 'utf8')) as Record<string, never>;
      await writeFile(
        bad,
        stringify({
          ...file,
          publicUrl: 'http://portcullis.example.com/path',
          store: {},
          sessions: { accessToken: '5 minutes' },
          providers: [
            {
              name: 'Corp!',
              type: 'oidc',
              issuer: 'nonsense',
              clientId: 'x',
              username: 'claims.(',
              usernamePrefix: 'a:',
              groupsPrefix: 'a:',
            },
          ],
          admn: { groups: [] },
        }),
      );
      const { code, stderr } = await runProgram([...command.split(' '), '--config', bad]);
      expect(code).toBe(2);
      for (const place of [
        'publicUrl',
        'store',
        'sessions.accessToken',
        'providers[0].name',
        'providers[0].issuer',
        'providers[0].username',
        'admn',
      ]) {
        expect(stderr).toContain(place);
      }
      expect(stderr).not.toMatch(/^\s+at /m);
    },
  );

  it('exits 2 with a message where there is no configuration, or two', async () => {
    const none = await runProgram(['serve']);
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('PORTCULLIS_CONFIG');
    const two = await runProgram(['serve', '--config', config], {
      env: { PORTCULLIS_PUBLIC_URL: 'https://a.example' },
    });
    expect(two.code).toBe(2);
    expect(two.stderr).toContain('PORTCULLIS_PUBLIC_URL');
  });

  it('creates keys once, readable by their owner only, and never overwrites old ones', async () => {
    const dir = join(folder, 'keys');
    expect((await runProgram(['keys', 'generate', '--dir', dir])).code).toBe(0);
    expect((await stat(join(dir, 'signing'))).mode & 0o077).toBe(0);
    const again = await runProgram(['keys', 'generate', '--dir', dir]);
    expect(again.code).toBe(1);
    expect(again.stderr).not.toBe('');
  });
});
