/** An attack without a credential: all of its requests come right behind the handshakes of its connections. */
import { connect } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { HOST, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestPlane, TestUser } from '../support/data-plane.ts';
import { http2Socket, http2Connection } from '../support/http2-client.ts';
import { rawConnection } from '../support/raw-connection.ts';
import { frame, PREFACE } from '../support/http2-frames.ts';
import { headers } from './http2-frames.ts';

const CONNECTIONS = 40;
/** A hundred of them are reset, and the connection would be ended at a further one (`maxSessionInvalidFrames`). */
const REQUESTS = 130;
/** As many of a connection are read before a credential is accepted on it. */
const READ = 32;
/** As so many connections each counts while a record of 16 kB may be part of its handshake. */
const WEIGHT = 5;
/** Without a credential there may be a fifth of all: with fewer, some would give way unread, as they should. */
const UNAUTHENTICATED = 5;
const PODS = '/api/v1/pods';
const SETTINGS = 0x4;
/** SETTINGS_INITIAL_WINDOW_SIZE: nothing may be sent but heads. */
const NO_WINDOW = frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));

let plane: TestPlane;
let alice: TestUser;
const ends: (() => void)[] = [];
beforeEach(async () => {
  plane = await startPlane({ limits: { connections: 2 * CONNECTIONS * WEIGHT * UNAUTHENTICATED } });
  alice = await signIn(plane);
});
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await plane.close();
});

const request = [
  [':method', 'GET'],
  [':path', PODS],
  [':scheme', 'https'],
  [':authority', HOST],
] as const;
const crowd = Buffer.concat([
  PREFACE,
  NO_WINDOW,
  ...Array.from({ length: REQUESTS }, (_, index) => headers(request, undefined, 1 + 2 * index)),
]);

/** @param from a loopback address: another client */
async function tcpFrom(from: string) {
  const socket = connect({ host: '127.0.0.1', port: plane.port, localAddress: from });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** @returns a function that says whether each of them was begun, or has been closed because its client reads nothing */
async function attack(from: string): Promise<() => boolean> {
  const opened = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = await http2Socket(plane, null, await tcpFrom(from));
      ends.push(() => socket.destroy());
      let isBegun = false;
      socket.on('error', () => undefined).on('data', () => (isBegun = true));
      // Before the server has read its Finished.
      socket.write(crowd);
      return () => isBegun || socket.destroyed;
    }),
  );
  return () => opened.every((isDone) => isDone());
}

const rejected = (): number => plane.counted.rejections.length;

it.each([
  ['from elsewhere', '127.0.0.9'],
  ['from the address of users', '127.0.0.1'],
])('a user on a connection of theirs, and one who connects, wait for some of a crowd %s', async (_name, from) => {
  const kept = await http2Connection(plane, alice.certificate);
  ends.push(() => kept.close());
  expect((await kept.call(alice, PODS)).status).toBe(200);
  const areBegun = await attack(from);
  await until(() => rejected() > 0, 'the first of them');
  const before = rejected();
  const body = 'x'.repeat(60_000);
  const fields = [`Host: ${HOST}`, `Authorization: Bearer ${alice.token}`, `Content-Length: ${body.length}`];
  const [upload, old, fresh] = await Promise.all([
    // No handshake is as long as what comes behind it.
    rawConnection(plane, alice.certificate).then(async (connection) => {
      const { socket } = connection;
      ends.push(() => socket.destroy());
      socket.write(`POST ${PODS} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${body}`);
      await until(() => connection.received().includes('\r\n\r\n') || socket.destroyed, 'the response');
      return connection.received().slice(0, 12);
    }),
    kept.call(alice, PODS).then(({ status }) => ({ status, behind: rejected() - before })),
    http2Connection(plane, alice.certificate).then(async (connection) => {
      ends.push(() => connection.close());
      const { status } = await connection.call(alice, PODS);
      return { status, behind: rejected() - before };
    }),
  ]);
  expect([upload, old.status, fresh.status]).toEqual(['HTTP/1.1 200', 200, 200]);
  expect(old.behind).toBeLessThan(500);
  expect(fresh.behind).toBeLessThan(1000);
  await until(areBegun, 'the last of them', 60_000);
  expect(rejected()).toBeLessThanOrEqual(CONNECTIONS * READ);
});
