/**
 * The pods of the chart's own Redis, one or three, run on this machine as the manifests say: each container's command, environment and files, the
 * probes and the hook before a pod ends. What a kubelet and a cluster's DNS would do is done here: paths lie below a folder for each pod, each pod
 * has a loopback address, and libnss-wrapper resolves the pods' own host names.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import dns from 'node:dns';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { end } from '../../demo/redis-server.ts';
import { podTemplateOf, type Container, type PodSpec } from './chart-pods.ts';
import { only, type KubernetesObject } from './chart.ts';

/** The program whose image the pods would have: the other one's is not on their PATH. */
const KIND = (process.env['PORTCULLIS_TEST_STORE'] ?? 'redis-server').replace('-server', '');
/** What the scripts find in the images of Redis and Valkey beside these. */
const PROGRAMS = [
  `${KIND}-server`,
  `${KIND}-cli`,
  ...'sh cat cut grep head mkdir mv rm sed sha256sum sleep timeout'.split(' '),
];
const NODES = [0, 1, 2] as const;

export type Which = (typeof NODES)[number];
type Hook = 'startupProbe' | 'livenessProbe' | 'readinessProbe' | 'preStop';

export interface Said {
  readonly code: number;
  readonly said: string;
}

/** The files of a volume, by name, as they are in the objects that it names. */
type Files = ReadonlyMap<string, string>;

export class RedisPods implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'portcullis-pods-'));
  #objects: readonly KubernetesObject[];
  readonly #running = new Map<string, ChildProcess>();
  readonly #addresses = new Map<string, string>();
  readonly #lookup = dns.lookup;

  /** @param objects as rendered, with `redis.inChart.enabled: true` */
  constructor(objects: readonly KubernetesObject[]) {
    this.#objects = objects;
    mkdirSync(join(this.#folder, 'bin'));
    for (const program of PROGRAMS) {
      const path = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
      symlinkSync(path, join(this.#folder, 'bin', program));
    }
    this.move();
    // As for this process, which is the pod of the proxy.
    const lookup = (host: string, ...rest: unknown[]): unknown =>
      Reflect.apply(this.#lookup, dns, [this.#addresses.get(host) ?? host, ...rest]);
    dns.lookup = lookup as typeof dns.lookup;
    process.once('exit', this.#onExit);
  }

  /** A test run that dies leaves no servers behind. */
  #onExit = (): void => {
    for (const child of this.#running.values()) child.kill('SIGKILL');
  };

  /** What the pods are started from next time. Their volumes stay. */
  become(objects: readonly KubernetesObject[]): void {
    this.#objects = objects;
  }

  /** Gives each pod another address, as a pod that is created again has. They must not be running. */
  move(): void {
    const byte = (): number => 1 + Math.floor(Math.random() * 253);
    const network = `127.${byte()}.${byte()}`;
    for (const which of NODES) this.#addresses.set(this.host(which), `${network}.${which + 1}`);
    const known = [...this.#addresses].map(([host, address]) => `${address} ${host}`);
    for (const which of NODES) {
      const own = `${this.#addresses.get(this.host(which))} localhost`;
      this.#put(which, 'hosts', [...known, own, ''].join('\n'));
    }
  }

  /** The host name of a pod, as a StatefulSet with a headless Service gives it. */
  host = (which: Which): string => `portcullis-redis-${which}.portcullis-redis.portcullis.svc`;

  address = (which: Which): string => this.#addresses.get(this.host(which)) ?? '';

  /** Starts the containers of a pod, as a kubelet does. What was on its volume is still there. */
  start(which: Which): void {
    this.#mount(which);
    for (const container of this.#spec.containers) {
      const { command, args = [] } = container as unknown as {
        readonly command: readonly string[];
        readonly args?: readonly string[];
      };
      const [program = '', ...rest] = [...command, ...args].map((word) => this.#here(which, word));
      const child = spawn(program, rest, { env: this.#environment(which, container), stdio: 'ignore' });
      this.#running.set(`${which}/${container.name}`, child);
    }
  }

  /** SIGKILL for all of the pod's processes, as when its node is lost. */
  async kill(which: Which): Promise<void> {
    const lost = [...this.#running].filter(([name]) => name.startsWith(`${which}/`));
    await Promise.all(lost.map(([, child]) => end(child, 'SIGKILL')));
  }

  /** Writes a file of a pod's volume, as one that was copied from elsewhere has it. */
  fill(which: Which, path: string, content: string): void {
    this.#put(which, `data/${path}`, content);
  }

  /** The volume of a pod as if it had been lost. */
  wipe(which: Which): void {
    rmSync(join(this.#folder, `${which}`, 'data'), { recursive: true, force: true });
  }

  /** Runs a probe of a container, or its hook before it ends. */
  async hook(which: Which, name: string, kind: Hook): Promise<Said> {
    const container = this.#container(name) as unknown as Record<
      string,
      { readonly exec: { readonly command: string[] } }
    >;
    const lifecycle = container['lifecycle'] as unknown as typeof container | undefined;
    const command = (kind === 'preStop' ? lifecycle?.[kind] : container[kind])?.exec.command ?? [];
    return await this.#run(
      which,
      name,
      command.map((word) => this.#here(which, word)),
    );
  }

  /** Runs redis-cli in a pod. */
  async cli(which: Which, user: string, password: string, ...args: readonly string[]): Promise<string> {
    const tls = ['--tls', '--cacert', join(this.#folder, `${which}`, 'tls/ca.crt'), '-h', 'localhost'];
    const auth = user === '' ? [] : ['--no-auth-warning', '--user', user, '--pass', password];
    const { said } = await this.#run(which, 'redis', [`${KIND}-cli`, ...tls, ...auth, ...args]);
    return said.trim();
  }

  /** Whether this pod's Sentinel knows the others and both followers, as it has written down. */
  knowsAll(which: Which): boolean {
    const state = readFileSync(join(this.#folder, `${which}`, 'data/sentinel/sentinel.conf'), 'utf8');
    return ['known-replica', 'known-sentinel'].every(
      (what) => state.split(`sentinel ${what} portcullis `).length === 3,
    );
  }

  /** A Secret's value. */
  secret(name: string, key: string): string {
    return filesOf(only(this.#objects, 'Secret', name)).get(key) ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    dns.lookup = this.#lookup;
    process.removeListener('exit', this.#onExit);
    await Promise.all(NODES.map((which) => this.kill(which)));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get #spec(): PodSpec {
    return podTemplateOf(only(this.#objects, 'StatefulSet')).spec;
  }

  #container(name: string): Container {
    const found = this.#spec.containers.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no container is called ${name}`);
    return found;
  }

  /** Moves the paths of a pod below its folder. */
  #here = (which: Which, text: string): string =>
    text.replaceAll(/(?<![\w/}])\/(?=(?:auth|tls|ha|run|etc|data)\b)/g, `${this.#folder}/${which}/`);

  #put(which: Which, path: string, content: string): void {
    const file = join(this.#folder, `${which}`, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content, { mode: 0o600 });
  }

  #mount(which: Which): void {
    for (const { name, mountPath } of this.#spec.containers.flatMap(({ volumeMounts }) => volumeMounts)) {
      const volume = this.#spec.volumes.find((each) => each.name === name);
      const source = volume?.secret?.secretName ?? volume?.configMap?.name;
      mkdirSync(join(this.#folder, `${which}${mountPath}`), { recursive: true });
      if (source === undefined) continue;
      const kind = volume?.secret === undefined ? 'ConfigMap' : 'Secret';
      for (const [file, content] of filesOf(only(this.#objects, kind, source))) {
        // Every pod has a machine's ports to itself.
        const bound = file.endsWith('.conf') ? `bind ${this.address(which)}\n${content}` : content;
        this.#put(which, `${mountPath}/${file}`, kind === 'ConfigMap' ? this.#here(which, bound) : bound);
      }
    }
  }

  #environment(which: Which, container: Container): Record<string, string> {
    const env = (container['env'] ?? []) as readonly { readonly name: string; readonly value?: string }[];
    const pod = `portcullis-redis-${which}`;
    return {
      PATH: join(this.#folder, 'bin'),
      LD_PRELOAD: 'libnss_wrapper.so',
      NSS_WRAPPER_HOSTS: join(this.#folder, `${which}`, 'hosts'),
      ...Object.fromEntries(env.map(({ name, value }) => [name, value?.replace('$(POD_NAME)', pod) ?? pod])),
    };
  }

  #run(which: Which, name: string, [program = '', ...args]: readonly string[]): Promise<Said> {
    const options = { env: this.#environment(which, this.#container(name)), timeout: 20_000 };
    return new Promise((resolve) => {
      execFile(program, args, options, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), said: `${stdout}${stderr}` }),
      );
    });
  }
}

function filesOf({ kind, ...object }: KubernetesObject): Files {
  const data = object['data'] as Readonly<Record<string, string>>;
  const decoded = (value: string): string => (kind === 'Secret' ? Buffer.from(value, 'base64').toString() : value);
  return new Map(Object.entries(data).map(([name, value]) => [name, decoded(value)]));
}
