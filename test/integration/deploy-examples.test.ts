/** The files of deploy/examples other than the configuration: plain manifests, compose, systemd. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { KUBERNETES_EXAMPLE, kubernetesExample } from '../../scripts/kubernetes-example.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ROOT } from '../support/deployed.ts';
import { loadAsDeployed } from '../support/chart-config.ts';
import { objectsIn } from '../support/chart.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { temporaryDirectory, writeFiles } from '../unit/config/sandbox.ts';

const run = promisify(execFile);
const EXAMPLES = `${ROOT}deploy/examples/`;
const example = (path: string): string => readFileSync(`${EXAMPLES}${path}`, 'utf8');

describe('kubernetes.yaml', () => {
  it('is what the chart renders (else: node scripts/kubernetes-example.ts)', async () => {
    expect(readFileSync(KUBERNETES_EXAMPLE, 'utf8')).toBe(kubernetesExample((await newestClients()).helm));
  });

  it('holds no secret, and a configuration that Portcullis accepts', async () => {
    const objects = objectsIn(example('kubernetes.yaml'));
    expect(objects.map(({ kind }) => kind)).not.toContain('Secret');
    const outcome = await loadAsDeployed(objects);
    expect(outcome.ok || outcome.reason).toBe(true);
  });
});

interface Service {
  readonly user: string;
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly networks: readonly string[];
  readonly image: string;
  readonly command: readonly string[];
  readonly stop_grace_period?: string;
  readonly volumes: readonly string[];
}

describe('compose.yaml', () => {
  const { services, networks } = parse(example('compose/compose.yaml')) as {
    services: Readonly<Record<'portcullis' | 'redis', Service>>;
    networks: Readonly<Record<string, { internal?: boolean }>>;
  };

  it('runs both without privileges and with a read-only root, and no other container reaches Redis', () => {
    for (const service of [services.portcullis, services.redis]) {
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
      expect(service.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
      expect(service.image).not.toMatch(/:latest$|^[^:]+$/);
    }
    expect(services.redis.networks.map((name) => networks[name]?.internal)).toEqual([true]);
    expect(services.redis).not.toHaveProperty('ports');
  });

  it('mounts every file that its configuration names, and config check accepts it', async () => {
    const root = temporaryDirectory();
    const inside = (path: string): string => join(root, path.slice('/etc/portcullis/'.length));
    const mounted = services.portcullis.volumes.map((volume) => volume.split(':')[1] ?? '');
    const text = example('compose/portcullis.yaml');
    const files = [...text.matchAll(/(?:tls|secrets)\/[\w.-]+/g)].map(([path]) => path);
    expect(files.length).toBeGreaterThan(5);
    for (const path of [...files, 'keys/signing', 'portcullis.yaml']) {
      expect(
        mounted.some((folder) => `/etc/portcullis/${path}`.startsWith(folder)),
        path,
      ).toBe(true);
    }
    writeFiles(root, Object.fromEntries(files.map((path) => [path, 'content\n'])));
    for (const kind of ['signing', 'sealing', 'audit']) mkdirSync(join(root, 'keys', kind), { recursive: true });
    writeFiles(root, { 'portcullis.yaml': text });
    expect(services.portcullis.command).toEqual(['serve', '--config', '/etc/portcullis/portcullis.yaml']);
    const outcome = await loadConfig({ file: inside('/etc/portcullis/portcullis.yaml'), env: {} });
    if (!outcome.ok) throw new Error(JSON.stringify(outcome.reason));
    const { delay, grace } = outcome.value.config.shutdown;
    expect(delay + grace).toBeLessThan(Number.parseInt(services.portcullis.stop_grace_period ?? '', 10));
  });
});

describe('portcullis.service', () => {
  const unit = example('systemd/portcullis.service');

  it('gives the server no privileges, and more time to stop than its drain takes', () => {
    for (const line of ['User=portcullis', 'NoNewPrivileges=yes', 'ProtectSystem=strict', 'CapabilityBoundingSet=']) {
      expect(unit.split('\n')).toContain(line);
    }
    // The sum of the defaults of shutdown.delay and shutdown.grace.
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(60);
    expect(unit).toMatch(/^ExecStart=\/usr\/bin\/node \/opt\/portcullis\/src\/main\.ts serve --config /m);
  });

  it('is a unit that systemd accepts, where systemd is installed', async () => {
    const path = `${EXAMPLES}systemd/portcullis.service`;
    const said = await run('systemd-analyze', ['verify', '--man=no', path]).then(
      ({ stderr }) => stderr,
      (error: { readonly code: unknown; readonly stderr?: string }) => (error.code === 'ENOENT' ? '' : error.stderr),
    );
    // A machine without /usr/bin/node is reported, which is not an error of the unit.
    const errors = (said ?? '')
      .split('\n')
      .filter((line) => line !== '' && !/\/usr\/bin\/node is not executable/.test(line));
    expect(errors.filter((line) => line.includes('portcullis.service'))).toEqual([]);
  });
});
