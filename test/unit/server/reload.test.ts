import { once } from 'node:events';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createReloading, renewContext } from '../../../src/server/reload.ts';
import type { Reloading } from '../../../src/server/reload.ts';
import { makeCertificate } from '../../support/upstream.ts';
import type { TestCertificate } from '../../support/upstream.ts';
import { temporaryDirectory } from '../config/sandbox.ts';

let directory: string;
let reloading: Reloading;
let failures: number;
let renewed: number;
/** What was counted, with the names of the files. */
let counted: readonly string[];
let first: TestCertificate;
let second: TestCertificate;
beforeEach(async () => {
  directory = temporaryDirectory();
  [failures, renewed, counted] = [0, 0, []];
  [first, second] = [await makeCertificate('first.test'), await makeCertificate('second.test')];
  reloading = createReloading({
    logger: { info: () => void (renewed += 1), error: () => void (failures += 1) },
    metrics: {
      keysChanged: (...change) => void (counted = [...counted, change.join(' ').replaceAll(`${directory}/`, '')]),
    },
  });
});
afterEach(() => reloading.stop());

// Files are looked at once a second; only that second is not waited for.
beforeAll(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterAll(() => void vi.useRealTimers());

const waitFor = (check: () => void): Promise<void> =>
  vi.waitFor(() => {
    vi.advanceTimersByTime(1000);
    check();
  });

const at = (name: string): string => join(directory, name);
const write = (name: string, text: string): void => writeFileSync(at(name), text);

describe('a server’s certificate', () => {
  let server: Server;
  afterEach(() => server.close());

  async function serialNumber(): Promise<string | undefined> {
    const { port } = server.address() as AddressInfo;
    // Whose certificate it is was asked for, not whether it is good.
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const serial = socket.getPeerCertificate().serialNumber;
    socket.destroy();
    return serial;
  }

  test('is replaced from the next handshake on, and a broken pair keeps the old one', async () => {
    write('tls.crt', first.cert);
    write('tls.key', first.key);
    const certificate = reloading.certificate({ certFile: at('tls.crt'), keyFile: at('tls.key') });
    server = createServer(certificate.current()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    certificate.onChange((pair) => renewContext(server, pair));
    const before = await serialNumber();
    write('tls.crt', second.cert);
    await waitFor(() => expect(failures).toBe(1));
    expect(await serialNumber()).toBe(before);
    expect(certificate.current()).toEqual(first);
    write('tls.key', second.key);
    await waitFor(() => expect(renewed).toBe(1));
    expect(await serialNumber()).not.toBe(before);
    expect(certificate.current()).toEqual(second);
    expect(failures).toBe(1);
    expect(counted).toEqual(['certificate refused tls.crt tls.key', 'certificate taken tls.crt tls.key']);
  });
});

test('CA certificates are replaced, and a file without a certificate keeps the old ones', async () => {
  write('ca.crt', first.cert);
  const caBundle = reloading.caBundle(at('ca.crt'));
  expect(caBundle()).toBe(first.cert);
  write('ca.crt', 'nothing');
  await waitFor(() => expect(failures).toBe(1));
  expect(caBundle()).toBe(first.cert);
  const both = `${first.cert}\n${second.cert}\n`;
  write('ca.crt', both);
  await waitFor(() => expect(caBundle()).toBe(both));
  expect(counted).toEqual(['authorities refused ca.crt', 'authorities taken ca.crt']);
});

test('a CA file that two use is followed once', async () => {
  write('ca.crt', first.cert);
  const both = [reloading.caBundle(at('ca.crt')), reloading.caBundle(at('ca.crt'))];
  write('ca.crt', second.cert);
  await waitFor(() => expect(both.map((caBundle) => caBundle())).toEqual([second.cert, second.cert]));
  expect(counted).toEqual(['authorities taken ca.crt']);
});

test.each([
  ['end within a certificate', (pem: string) => `\n${pem.slice(0, 200)}`],
  ['end within its first line', (pem: string) => `\n${pem.slice(0, 7)}`],
  ['end within its last line', (pem: string) => `\n${pem.slice(0, -10)}`],
  ['have two on one line', (pem: string) => `${pem}\n`],
])('CA files that %s keep the old certificates', async (_what, addition) => {
  write('ca.crt', first.cert);
  const caBundle = reloading.caBundle(at('ca.crt'));
  write('ca.crt', first.cert + addition(second.cert));
  await waitFor(() => expect(failures).toBe(1));
  expect(caBundle()).toBe(first.cert);
});

test('CA certificates with text between them are taken', () => {
  const bundle = `The first\n---------\n${first.cert}\n# The second: --\n${second.cert}\n`;
  write('ca.crt', bundle);
  expect(reloading.caBundle(at('ca.crt'))()).toBe(bundle);
});

test('a CA file without any certificate does not start', () => {
  write('ca.crt', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  expect(() => reloading.caBundle(at('ca.crt'))).toThrow(/asn1|PEM/i);
  write('ca.crt', '');
  expect(() => reloading.caBundle(at('ca.crt'))).toThrow('no certificate');
});

describe('a secret', () => {
  test('is followed where its file is replaced, and where it is written over', async () => {
    write('password', 'one\n');
    const secret = reloading.secret(at('password'));
    expect(secret()).toBe('one');
    write('password.new', 'two');
    renameSync(at('password.new'), at('password'));
    await waitFor(() => expect(secret()).toBe('two'));
    write('password', 'six\n');
    await waitFor(() => expect(secret()).toBe('six'));
    expect(counted).toEqual(['secret taken password', 'secret taken password']);
  });

  test('stays as it was while its file is unavailable or empty, which is told once each', async () => {
    write('password', 'one');
    const secret = reloading.secret(at('password'));
    rmSync(at('password'));
    await waitFor(() => expect(failures).toBe(1));
    expect(secret()).toBe('one');
    write('password', '\n');
    await waitFor(() => expect(failures).toBe(2));
    expect(secret()).toBe('one');
    write('password', 'two');
    await waitFor(() => expect(secret()).toBe('two'));
    expect(counted).toEqual(['secret refused password', 'secret refused password', 'secret taken password']);
  });

  test.each([
    ['is not there', undefined, 'ENOENT'],
    ['is empty', '\n', 'is empty'],
    ['is larger than any secret', 'x'.repeat(64 * 1024 + 1), 'larger than 64 KiB'],
  ])('that %s does not start', (_what, content, message) => {
    if (content !== undefined) write('password', content);
    expect(() => reloading.secret(at('password'))).toThrow(message);
  });
});
