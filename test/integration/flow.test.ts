import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { open, standstill } from '../support/data-plane.ts';
import type { TestPlane } from '../support/data-plane.ts';
import { answerJson, longAnswer, startUpstream } from '../support/upstream.ts';
import type { RecordingUpstream } from '../support/upstream.ts';
import { startRemoteInstance } from './flow/remote-server.ts';
import type { RemoteInstance } from './flow/remote-server.ts';

const MB = 1024 * 1024;
const LOG = '/api/v1/namespaces/default/pods/web-1/log';
const PIECE = Buffer.alloc(65_536, 'z');

async function drained(res: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of res as AsyncIterable<Buffer>) bytes += chunk.length;
  return bytes;
}

describe('memory, measured at a server in its own process', () => {
  let upstream: RecordingUpstream;
  let instance: RemoteInstance;
  let plane: TestPlane;
  /** Bytes of responses that the API server was able to send. */
  let sent = 0;
  const opened: IncomingMessage[] = [];
  beforeAll(async () => {
    upstream = await startUpstream();
    instance = await startRemoteInstance(upstream);
    // `open` uses only its address and its CA.
    plane = instance.plane as TestPlane;
  });
  afterEach(async () => {
    for (const res of opened.splice(0)) res.destroy();
    sent = 0;
    upstream.answer = answerJson({});
    upstream.clear();
    while ((await instance.state()).inFlight > 0);
  });
  afterAll(async () => {
    await instance.stop();
    await upstream.close();
  });

  const answerWith = (bytes: number) => longAnswer(bytes, (more) => (sent += more));
  const asked = async (): Promise<IncomingMessage> => {
    const req = open(plane, instance.user, LOG);
    req.end();
    const [res] = (await once(req, 'response')) as [IncomingMessage];
    opened.push(res);
    return res;
  };

  it('a slow reader of 100 MB costs less than 40 MB, and gets it all', async () => {
    // The memory that the allocator keeps after a transfer at full speed does not belong to the slow one.
    upstream.answer = answerWith(100 * MB);
    await drained(await asked());
    const before = (await instance.state()).rss;
    sent = 0;
    const res = await asked();
    res.pause();
    await standstill(() => sent);
    // There are three kernel buffers between them, of up to 32 MB each where Linux tunes them; the number must
    // only stop changing.
    expect(sent).toBeLessThan(80 * MB);
    const grown = (await instance.state()).rss - before;
    expect(grown).toBeLessThan(40 * MB);
    expect(await drained(res)).toBe(100 * MB);
    expect((await instance.state()).rss - before).toBeLessThan(40 * MB);
  });

  it('20 slow readers of 600 MB cost less than 80 MB together, and each gets it all', async () => {
    upstream.answer = answerWith(10 * MB);
    await drained(await asked());
    const before = (await instance.state()).rss;
    sent = 0;
    upstream.answer = answerWith(30 * MB);
    const answers = await Promise.all(Array.from({ length: 20 }, asked));
    for (const res of answers) res.pause();
    await standstill(() => sent);
    expect(sent).toBeLessThan(20 * 30 * MB);
    // This includes forty TLS connections.
    expect((await instance.state()).rss - before).toBeLessThan(80 * MB);
    expect(await Promise.all(answers.map(drained))).toEqual(Array.from({ length: 20 }, () => 30 * MB));
  });

  it('an upload waits for a slow API server instead of filling the memory of the proxy', async () => {
    let release: () => void = () => undefined;
    const takeIn = (req: IncomingMessage, res: ServerResponse): void =>
      void drained(req).then((bytes) => answerJson({ bytes })(req, res));
    const uploading = (wrote: (bytes: number) => void): Promise<[IncomingMessage]> => {
      const req = open(plane, instance.user, '/api/v1/namespaces/default/pods', {
        method: 'POST',
        headers: { 'transfer-encoding': 'chunked' },
      });
      upload(req, 100 * MB, wrote);
      return once(req, 'response') as Promise<[IncomingMessage]>;
    };
    // The memory that the allocator keeps after an upload at full speed does not belong to the slow one.
    upstream.answer = takeIn;
    const [whole] = await uploading(() => undefined);
    expect(await text(whole)).toBe(JSON.stringify({ bytes: 100 * MB }));
    upstream.clear();
    const before = (await instance.state()).rss;
    upstream.answer = (req, res) => (release = () => takeIn(req, res));
    let written = 0;
    const answer = uploading((bytes) => void (written += bytes));
    await standstill(() => written);
    expect(upstream.requests).toHaveLength(1);
    expect(written).toBeLessThan(40 * MB);
    expect((await instance.state()).rss - before).toBeLessThan(40 * MB);
    release();
    const [res] = await answer;
    expect(res.statusCode).toBe(200);
    expect(await text(res)).toBe(JSON.stringify({ bytes: 100 * MB }));
    expect((await instance.state()).rss - before).toBeLessThan(40 * MB);
  });
});

function upload(req: ClientRequest, bytes: number, wrote: (bytes: number) => void): void {
  let left = bytes;
  const pump = (): void => {
    while (left > 0) {
      left -= PIECE.length;
      wrote(PIECE.length);
      if (!req.write(PIECE)) return void req.once('drain', pump);
    }
    req.end();
  };
  pump();
}

async function text(res: IncomingMessage): Promise<string> {
  let all = '';
  for await (const chunk of res as AsyncIterable<Buffer>) all += chunk.toString();
  return all;
}
