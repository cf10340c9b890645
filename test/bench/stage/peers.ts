/** nginx as the API server for files, and haproxy as the proxy to be measured against: TLS on every leg, one thread each. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CIPHERS } from '../load/http1.ts';
import { start } from './processes.ts';
import type { Started } from './processes.ts';
import { freePort } from '../../../demo/ports.ts';
import { isOpen } from '../../support/open-addresses.ts';

/** Host names by which both proxies choose the upstream: nginx for files, Node for what streams. */
export const HOSTS = { files: 'files.bench.test', live: 'live.bench.test' } as const;

export const PATHS = {
  get: '/api/v1/namespaces/default/configmaps/small',
  /** 1 MB. */
  shortList: '/api/v1/namespaces/default/configmaps',
  /** 100 MB. */
  list: '/api/v1/pods',
  watch: '/api/v1/namespaces/default/configmaps?watch=1',
  /** Takes a POST. */
  change: '/api/v1/namespaces/default/secrets',
  exec: (bytes: number): string => `/api/v1/namespaces/default/pods/web/exec?command=cat&bytes=${bytes}`,
} as const;

export const LIST_BYTES = 100_000_000;

export interface Peer extends Started {
  readonly port: number;
}

/** JSON of exactly `bytes`. */
function document(bytes: number): string {
  const frame = (data: string): string =>
    `${JSON.stringify({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'small', namespace: 'default' }, data: { text: data } })}\n`;
  return frame('x'.repeat(bytes - frame('').length));
}

/** @param directory has `server.crt` and `server.key` */
export async function startNginx(directory: string): Promise<Peer> {
  const port = await freePort();
  const at = (name: string): string => join(directory, name);
  await mkdir(at('nginx'), { recursive: true });
  await writeFile(at('get.json'), document(2000));
  await writeFile(at('short-list.json'), document(1_000_000));
  await writeFile(at('list.json'), document(LIST_BYTES));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${at(`nginx/${kind}`)};`)
    .join(' ');
  const config = `
daemon off; master_process off; pid ${at('nginx/pid')}; error_log ${at('nginx/error.log')} warn;
events { worker_connections 8192; }
http {
  ${temporary}
  access_log off; default_type application/json; keepalive_requests 100000000; keepalive_timeout 1h;
  server {
    listen 127.0.0.1:${port} ssl backlog=8192;
    ssl_certificate ${at('server.crt')}; ssl_certificate_key ${at('server.key')};
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites ${CIPHERS}; ssl_session_cache off; ssl_session_tickets off;
    location = ${PATHS.get} { alias ${at('get.json')}; }
    location = ${PATHS.shortList} { alias ${at('short-list.json')}; }
    location = ${PATHS.change} { return 200 '${document(300).trimEnd()}'; }
    location = ${PATHS.list} { alias ${at('list.json')}; }
  }
}
`;
  await writeFile(at('nginx.conf'), config);
  const args = ['-p', directory, '-c', at('nginx.conf'), '-e', at('nginx/error.log')];
  return { ...(await start('nginx', args, () => isOpen('127.0.0.1', port))), port };
}

/**
 * Any other proxy, by a command line for the shell. In its environment, with `PATH` and nothing else: `PORT` to listen
 * on at 127.0.0.1, `DIRECTORY` with `server.crt`, `server.key`, `ca.crt` and `cluster-token`, and `FILES` and `LIVE`, the
 * ports of the two upstreams. It has to accept the benchmark's Bearer token, or one that it writes to `DIRECTORY/peer-token` before it listens.
 */
export async function startPeer(
  command: string,
  directory: string,
  upstreams: { readonly files: number; readonly live: number },
): Promise<Peer> {
  const port = await freePort();
  const environment = { PORT: port, DIRECTORY: directory, FILES: upstreams.files, LIVE: upstreams.live };
  const texts = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, String(value)]));
  // Its process is the proxy itself, whose CPU time is read.
  return { ...(await start('sh', ['-c', `exec ${command}`], () => isOpen('127.0.0.1', port), texts)), port };
}

/** @param directory has `server.pem` (certificate and key) and `ca.crt` */
export async function startHaproxy(
  directory: string,
  upstreams: { readonly files: number; readonly live: number },
): Promise<Peer> {
  const port = await freePort();
  const at = (name: string): string => join(directory, name);
  const server = (name: string, to: number): string =>
    `server ${name} 127.0.0.1:${to} ssl verify required ca-file ${at('ca.crt')} verifyhost localhost alpn http/1.1`;
  const config = `
global
  nbthread 1
  maxconn 7000
  ssl-default-bind-ciphersuites ${CIPHERS}
  ssl-default-server-ciphersuites ${CIPHERS}
defaults
  mode http
  option http-keep-alive
  option abortonclose
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend proxy
  bind 127.0.0.1:${port} backlog 8192 ssl crt ${at('server.pem')} alpn h2,http/1.1 ssl-min-ver TLSv1.3 no-tls-tickets verify optional ca-file ${at('ca.crt')} crt-ignore-err all ca-ignore-err all
  use_backend live if { hdr(host) -i ${HOSTS.live} }
  default_backend files
backend files
  ${server('nginx', upstreams.files)}
backend live
  ${server('node', upstreams.live)}
`;
  await writeFile(at('haproxy.cfg'), config);
  return { ...(await start('haproxy', ['-db', '-f', at('haproxy.cfg')], () => isOpen('127.0.0.1', port))), port };
}
