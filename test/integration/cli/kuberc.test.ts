/** The kuberc that `portcullis kubeconfig --kuberc` prints, read by a real kubectl 1.35. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { newestClients } from '../../support/kubectl-versions.ts';
import { stage } from './setup.ts';

const at = stage();
const run = promisify(execFile);

/** A plugin that says that it was started. */
function plugin(name: string): string {
  const path = join(at.machine.home, name);
  writeFileSync(path, '#!/bin/sh\necho "started: ${0##*/}" >&2\nexit 1\n');
  chmodSync(path, 0o755);
  return path;
}

function kubeconfig(name: string, command: string): string {
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never' };
  const file = join(at.machine.home, name);
  const config = {
    clusters: [{ name, cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name, user: { exec } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
  writeFileSync(file, stringify({ apiVersion: 'v1', kind: 'Config', ...config }));
  return file;
}

test('lets kubectl start portcullis, and nothing else that a kubeconfig names', { timeout: 120_000 }, async () => {
  const { kubectl } = await newestClients();
  plugin('portcullis');
  mkdirSync(join(at.machine.home, 'evil'));
  const hostile = 'x\n  - name: /tmp/evil';
  const files = [
    kubeconfig('own', 'portcullis'),
    kubeconfig('other', plugin('other')),
    // An attacker names their program as ours, or writes lines into the list by way of a name.
    kubeconfig('same-name', plugin('evil/portcullis')),
    kubeconfig('hostile', hostile),
  ];
  at.machine.env = { KUBECONFIG: files.join(':') };
  const printed = await at.machine.run('kubeconfig', '--kuberc');
  expect(printed).toMatchObject({ code: 0, stderr: expect.stringContaining('~/.kube/kuberc') });
  expect(printed.stdout.match(/^ *- name: .*$/gm)).toEqual(['  - name: portcullis']);
  expect(printed.stdout).toContain(`#   - name: ${join(at.machine.home, 'other')}`);
  const kuberc = join(at.machine.home, 'kuberc');
  writeFileSync(kuberc, printed.stdout);
  const messages = await Promise.all(
    files.map(async (file) => {
      const env = { PATH: `${at.machine.home}:/usr/bin:/bin`, HOME: at.machine.home, KUBECONFIG: file, KUBERC: kuberc };
      return run(kubectl, ['get', '--raw', '/version'], { env }).catch((error: { stderr: string }) => error.stderr);
    }),
  );
  expect(messages[0]).toContain('started: portcullis');
  const [, other, sameName, withLines] = messages;
  for (const message of [other, sameName]) {
    expect(message).toContain('not permitted by the credential plugin allowlist');
    expect(message).not.toContain('started');
  }
  expect(withLines).not.toContain('started');
});
