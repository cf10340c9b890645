/** `portcullis store check` as an operator types it. What it finds in which store: test/conformance/redis-managed.test.ts. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';
import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';
import { runProgram } from '../support/program.ts';
import { startRedis, type RedisServer, type StartRedis } from '../support/redis.ts';
import { FILES, settings, temporaryDirectory, writeFiles } from '../unit/config/sandbox.ts';

const PASSWORD = 'a-password-of-redis';
const CONTROLS = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

let certificates: DemoCertificates;
beforeAll(async () => {
  certificates = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
});

interface Typed {
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly store?: Readonly<Record<string, unknown>>;
}

/** Runs the command in a folder with a configuration, a CA and a password. */
async function typed(args: readonly string[], { env = {}, files = {}, store = { memory: {} } }: Typed = {}) {
  const directory = temporaryDirectory();
  const yaml = stringify({ ...settings(), store });
  writeFiles(directory, { ...FILES, 'ca.crt': certificates.ca, password: PASSWORD, ...files, 'portcullis.yaml': yaml });
  const ended = await runProgram(['store', 'check', ...args], { cwd: directory, env });
  expect(ended.stdout + ended.stderr).not.toContain(PASSWORD);
  return ended;
}

async function redisWith(options: StartRedis): Promise<RedisServer> {
  const redis = await startRedis(options);
  onTestFinished(() => redis.stop());
  return redis;
}

describe('portcullis store check', () => {
  it('checks a URL over TLS, with a password from the environment or a file, and says what follows', async () => {
    const redis = await redisWith({ tls: certificates, args: ['--requirepass', PASSWORD] });
    const url = `rediss://localhost:${redis.port}`;
    const { code, stdout } = await typed([url, '--ca-file', 'ca.crt'], { env: { REDISCLI_AUTH: PASSWORD } });
    expect(stdout).toMatch(/^rediss:\/\/localhost:\d+, prefix portcullis, nodes: 1$/m);
    expect(stdout).toMatch(/^tls +ok +rediss.* TLSv1\.3, certificate verified$/m);
    expect(stdout).toMatch(/^ {2}generation +A restart or a failover of this store ends every session/m);
    expect(code).toBe(0);
    const file = await typed([url, '--ca-file', 'ca.crt', '--password-file', 'password', '--prefix', 'two']);
    expect(file).toMatchObject({ code: 0, stdout: expect.stringContaining('prefix two') });
  });

  it('checks the configured store with its CA, password and prefix, for scripts', async () => {
    const redis = await redisWith({ tls: certificates, args: ['--requirepass', PASSWORD] });
    const url = `rediss://localhost:${redis.port}`;
    const store = { redis: { url, caFile: 'ca.crt', passwordFile: 'password', prefix: 'portcullis-2' } };
    const { code, stdout } = await typed(['--config', 'portcullis.yaml', '--output', 'json'], { store });
    expect(JSON.parse(stdout)).toMatchObject({ url, prefix: 'portcullis-2', nodes: 1, suitable: true });
    expect(code).toBe(0);
  });

  it('exits 1 where something is missing', async () => {
    const redis = await redisWith({ args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
    const { code, stdout } = await typed([redis.url, '--output', 'yaml']);
    expect(parse(stdout)).toMatchObject({
      suitable: false,
      rows: expect.arrayContaining([
        {
          check: 'eviction',
          outcome: 'no',
          needed: 'maxmemory-policy noeviction',
          found: 'allkeys-lru',
          consequence: expect.stringContaining('every request gets 503'),
        },
      ]),
    });
    expect(code).toBe(1);
  });

  it.each<[readonly string[], RegExp]>([
    [['redis://127.0.0.1:1', '--config', 'portcullis.yaml'], /a URL or --config/],
    [[`redis://:${PASSWORD}@127.0.0.1:1`], /--password-file/],
    [['http://127.0.0.1:1'], /the URL must be/],
    [['redis://127.0.0.1:1', '--nodes', '2'], /--nodes must be 1, or 3/],
    [['redis://127.0.0.1:1', '--prefix', '{x}'], /--prefix must be/],
    [['redis://127.0.0.1:1', '--password-file', 'missing'], /missing/],
    [['--config', 'portcullis.yaml'], /store\.memory/],
    [['--config', 'portcullis.yaml', '--nodes', '3'], /are for a URL/],
  ])('exits 2 for a usage error: %j', async (args, message) => {
    const { code, stdout, stderr } = await typed(args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  // An attacker who controls the server rewrites the operator's terminal, so its text is filtered.
  it.each(['-NOPERM \u001b[2J\u202e\u2028 no\r\n', '$4\r\n\u001b[2J\r\n', '*1\r\n:1\r\n'])(
    'ends with a message at a server that answers everything with %j, without its control characters',
    async (answer) => {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (data: Buffer) => {
          const commands = data.toString('latin1').match(/^\*/gm) ?? [];
          socket.write(answer.repeat(commands.length));
        });
      }).listen(0, '127.0.0.1');
      onTestFinished(() => void server.close());
      await once(server, 'listening');
      const url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { code, stdout, stderr } = await typed([url]);
      expect(stdout + stderr).not.toMatch(CONTROLS);
      expect(stdout + stderr).toMatch(/ no /);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(code).toBe(1);
    },
  );
});
