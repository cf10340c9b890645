/** A real squid on a random loopback port, without a cache and without a service. It ends with the test run, however that ends. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../demo/ports.ts';

export interface Squid {
  /** `HOST:PORT`. */
  readonly host: string;
  /** Its access log so far: a tunnel is in it once it has ended. */
  log(): Promise<string>;
  stop(): Promise<void>;
}

/** Which name and password it accepts. */
export const SQUID_CREDENTIALS = 'anna:squid-canary';

/** Of the users' own machines, so that the log tells them from the server. */
export const BROWSER_CREDENTIALS = 'laptop:squid-laptop';

/** The host that it connects no client to. */
export const FORBIDDEN_HOST = 'forbidden.test';

const SERVES = 'Accepting HTTP Socket connections';
const ATTEMPTS = 5;

const settings = (dir: string, port: number): string => `
http_port 127.0.0.1:${port}
visible_hostname squid.test
hosts_file ${dir}/hosts
cache deny all
memory_cache_shared off
access_log stdio:${dir}/access.log
cache_log ${dir}/cache.log
coredump_dir ${dir}
pid_filename none
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
auth_param basic program /bin/sh ${dir}/auth
auth_param basic children 1 startup=1
acl users proxy_auth REQUIRED
acl forbidden dstdomain ${FORBIDDEN_HOST}
http_access deny forbidden
http_access allow CONNECT users
http_access deny all
`;

const AUTH = `while read -r name password; do
  case "$name:$password" in ${SQUID_CREDENTIALS} | ${BROWSER_CREDENTIALS}) echo OK ;; *) echo ERR ;; esac
done
`;

/** @param names names that no one but this proxy can resolve: each leads to 127.0.0.1 */
export async function startSquid(names: readonly string[]): Promise<Squid> {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-squid-'));
  // Started as root, it becomes a user of its own.
  await chmod(dir, 0o777);
  await writeFile(join(dir, 'hosts'), `127.0.0.1 ${names.join(' ')}\n`);
  await writeFile(join(dir, 'auth'), AUTH);
  let port = 0;
  let child: ChildProcess | string = '';
  for (let attempt = 0; attempt < ATTEMPTS && typeof child === 'string'; attempt += 1) {
    port = await freePort();
    await writeFile(join(dir, 'squid.conf'), settings(dir, port));
    child = await launch(join(dir, 'squid.conf'));
  }
  if (typeof child === 'string') throw new Error(child);
  const running = child;
  return {
    host: `127.0.0.1:${port}`,
    log: () => readFile(join(dir, 'access.log'), 'utf8'),
    async stop() {
      const gone = once(running, 'exit');
      running.kill('SIGKILL');
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** @returns the process once it serves, or what it said instead */
async function launch(config: string): Promise<ChildProcess | string> {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };
  // -N: one process in the foreground; -d 1: it says on standard error what it does.
  const child = spawn('squid', ['-N', '-d', '1', '-f', config], { stdio: ['ignore', 'inherit', 'pipe'], env });
  const onExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onExit);
  child.once('exit', () => process.removeListener('exit', onExit));
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<ChildProcess | string>();
  child.once('error', (error) => resolve(`squid cannot be started (sh scripts/tools squid): ${error.message}`));
  child.once('exit', () => resolve(`squid ended: ${said.join('\n')}`));
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (said.length < 50) said.push(line);
    if (line.includes(SERVES)) resolve(child);
  });
  return promise;
}
