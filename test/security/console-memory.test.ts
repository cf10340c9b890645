/** A user who leaves what a console sends unread, or sends what it does not take, uses up no memory of a replica. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { endpointsOf, ProcNetTcp, type SystemBuffers } from '../../src/proxy/listener/system-buffers.ts';
import type { TestBrowser } from '../support/console.ts';
import { HEADLAMP, MAIN, openConsoleStage, OWN_FETCH, signInAt, type ConsoleStage } from '../support/console-stage.ts';
import { until } from '../support/data-plane.ts';

const LIMITS = { connections: 1000, inFlightPerUser: 100 };
const PIECE = Buffer.alloc(65_536);
/** As if there were as many of each. */
const TIMES = 50;

let stage: ConsoleStage;
/** Of the memory that there is. */
let used: number;
let closed: number;
afterEach(async () => {
  await stage.close();
});

async function start(buffers: SystemBuffers): Promise<void> {
  [used, closed] = [0.4, 0];
  const onClosed = (count: number): void => void (closed += count);
  stage = await openConsoleStage(undefined, LIMITS, { memoryInUse: () => used, onClosed, waitMs: 100, buffers });
  stage.headlamp.answer = ({ url }, res) => void (url === '/endless' ? fill(res) : res.end('ended'));
}

async function signedIn(user: string): Promise<TestBrowser> {
  const browser = stage.newBrowser();
  await signInAt(browser, user, `${HEADLAMP}/`);
  return browser;
}

const get = (browser: TestBrowser, path: string): string =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: headlamp.test',
    `Cookie: ${browser.cookieHeader('headlamp.test')}`,
    ...Object.entries(OWN_FETCH).map((header) => header.join(': ')),
    '',
  ].join('\r\n');

const upgrade = (browser: TestBrowser): string =>
  `${get(browser, '/ws')}Origin: ${HEADLAMP}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;

/** A connection of a browser that reads the beginning of its response, and nothing more. */
async function begun(head: string): Promise<TLSSocket> {
  const socket = connect({ port: stage.port, ca: stage.ca, servername: 'portcullis.test' });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.write(`${head}\r\n`);
  await once(socket, 'readable');
  return socket;
}

interface Filled {
  write(piece: Buffer): boolean;
  on(event: 'drain', listener: () => void): unknown;
  readonly destroyed: boolean;
}

/** Sends as much as is taken. */
function fill(to: Filled): void {
  const more = (): void => {
    while (!to.destroyed && to.write(PIECE));
  };
  to.on('drain', more);
  more();
}

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

type Attack = (browser: TestBrowser) => Promise<TLSSocket>;

/** With the side on which alone the system is looked at. */
const attacks: readonly (readonly [what: string, side: 'browser' | 'console', Attack])[] = [
  ['whose responses their browser does not read', 'browser', (browser) => begun(get(browser, '/endless'))],
  [
    'whose WebSockets their browser does not read',
    'browser',
    (browser) => {
      stage.headlamp.upgraded = (socket) => {
        socket.write(SWITCHING);
        fill(socket);
      };
      return begun(upgrade(browser));
    },
  ],
  [
    'whose WebSockets their console does not read',
    'console',
    async (browser) => {
      stage.headlamp.upgraded = (socket) => void socket.pause().write(SWITCHING);
      const socket = await begun(upgrade(browser));
      fill(socket);
      return socket;
    },
  ],
];

it.each(attacks)(
  'streams %s give way where memory is short, on both sides, and no other user’s',
  async (_what, side, open) => {
    const system = new ProcNetTcp();
    let held = 0;
    await start({
      of: (endpoints) => {
        const isCounted = endpoints.endsWith(` ${stage.port}`) === (side === 'browser');
        const bytes = isCounted ? system.of(endpoints) * TIMES : 0;
        held = Math.max(held, bytes);
        return bytes;
      },
      get lookedMs() {
        return system.lookedMs;
      },
    });
    const [alice, root] = [await signedIn('alice'), await signedIn('root')];
    const { headlamp } = stage;
    headlamp.upgraded = (socket) => void socket.write(SWITCHING);
    const quiet = await begun(upgrade(root));
    const mine = [...headlamp.connections];
    const unread = [await open(alice), await open(alice)];
    expect(headlamp.connections.size).toBe(mine.length + unread.length);
    used = 0.55;
    await until(() => held > 10 ** 7, 'a look at what the system holds');
    used = 0.65;
    await vi.waitFor(() => expect(closed).toBe(unread.length), { timeout: 20_000, interval: 100 });
    // One that is not read from does not tell of its end.
    for (const socket of headlamp.connections) socket.resume();
    await until(() => headlamp.connections.size === mine.length, 'the end at the console');
    expect([[...headlamp.connections], quiet.destroyed]).toEqual([mine, false]);
    expect((await root.send(`${HEADLAMP}/x`, OWN_FETCH)).text).toBe('ended');
  },
);

/** Milliseconds of CPU; each answer was read and written on by itself, one byte at a time: 700 and more. */
const LONGEST_TURN = 200;

it('twenty answers of a console in chunks of one byte, sent at once, are read in short turns', async () => {
  await start(new ProcNetTcp());
  const alice = await signedIn('alice');
  const chunks = Buffer.from('1\r\na\r\n'.repeat(10_000));
  const turns: number[] = [];
  while (turns.length < 4 && Math.min(...turns) > LONGEST_TURN) {
    const held: Socket[] = [];
    stage.headlamp.answer = (_req, { socket }) => {
      if (socket === null) return;
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      held.push(socket);
    };
    const browsers = await Promise.all(Array.from({ length: 20 }, () => begun(get(alice, '/tiny'))));
    let read = 0;
    for (const browser of browsers) browser.on('data', ({ length }: Buffer) => (read += length));
    let last = process.threadCpuUsage();
    let [most, isOver] = [0, false];
    const next = (): void => {
      const { user, system } = process.threadCpuUsage(last);
      last = process.threadCpuUsage();
      most = Math.max(most, (user + system) / 1000);
      if (!isOver) setImmediate(next);
    };
    for (const socket of held) socket.write(chunks);
    setImmediate(next);
    await until(() => read >= 20 * 10_000, 'every byte');
    isOver = true;
    turns.push(most);
    for (const socket of [...browsers, ...held]) socket.destroy();
  }
  if (process.env['COSTS'] !== undefined)
    process.stderr.write(`console\t${turns.map((ms) => ms.toFixed(1)).join(' ')}\n`);
  expect(Math.min(...turns)).toBeLessThanOrEqual(LONGEST_TURN);
});

const atBrowser = ({ localPort }: TLSSocket): string =>
  endpointsOf({ remoteAddress: '127.0.0.1', remotePort: localPort, localAddress: '127.0.0.1', localPort: stage.port });

it('where memory is short, a user with more than a share gets 429 at consoles, and no other user does', async () => {
  const heavy = new Set<string>();
  const beganMs = performance.now();
  // Read by their browser all the time, so that they are not late.
  const left = (): number => 10 ** 9 - (performance.now() - beganMs) * 10 ** 5;
  await start({
    of: (endpoints) => (heavy.has(endpoints) ? left() : 0),
    get lookedMs() {
      return performance.now();
    },
  });
  const [alice, root] = [await signedIn('alice'), await signedIn('root')];
  stage.headlamp.upgraded = (socket) => void socket.write(SWITCHING);
  const socket = await begun(upgrade(alice));
  heavy.add(atBrowser(socket));
  used = 0.65;
  const rejected = async (): Promise<number> => (await alice.send(`${HEADLAMP}/x`, OWN_FETCH)).status;
  await vi.waitFor(async () => expect(await rejected()).toBe(429), { timeout: 5_000, interval: 100 });
  expect(await stage.openSocket(alice, HEADLAMP)).toBe(429);
  expect((await root.send(`${HEADLAMP}/x`, OWN_FETCH)).status).toBe(200);
  // It may be to revoke.
  expect((await alice.send(`${MAIN}/me`)).status).toBe(200);
  expect(socket.destroyed).toBe(false);
});

it('a live view is its user’s, and gives way where memory is critical', async () => {
  const heavy = new Set<string>();
  await start({ of: (endpoints) => (heavy.has(endpoints) ? 4 * 10 ** 7 : 0), lookedMs: 0 });
  const [alice, root] = [await signedIn('alice'), await signedIn('root')];
  stage.headlamp.upgraded = (socket) => void socket.write(SWITCHING);
  const quiet = await begun(upgrade(alice));
  const view = [
    'GET /admin/api/v1/replicas HTTP/1.1',
    'Host: portcullis.test',
    `Cookie: ${root.cookieHeader('portcullis.test')}`,
    'Accept: text/event-stream',
    '',
  ];
  const live = await begun(view.join('\r\n'));
  expect(String(live.read())).toContain('200 OK');
  heavy.add(atBrowser(live));
  used = 0.75;
  await vi.waitFor(() => expect([closed, live.destroyed]).toEqual([1, true]), { timeout: 5_000, interval: 100 });
  expect(quiet.destroyed).toBe(false);
});
