/** A proxy before a redis-server that changes what is said, as a managed service hides what it likes. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

export type Replacement = readonly [text: string, by: string];

export interface Rewriter extends AsyncDisposable {
  readonly url: string;
}

/**
 * @param replacements in both directions, each by a text of the same length: the replies of INFO lose a field, and so
 *   do scripts, in which the name of the field that they look for is replaced
 */
export async function startRewriter(
  to: { readonly port: number },
  replacements: readonly Replacement[],
): Promise<Rewriter> {
  for (const [text, by] of replacements) {
    if (text.length !== by.length) throw new Error(`${text} and ${by} differ in length, and RESP counts bytes`);
  }
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to.port, '127.0.0.1');
    near.pipe(rewriting(replacements)).pipe(far).pipe(rewriting(replacements)).pipe(near);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => [near, far].forEach((each) => each.destroy()));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function rewriting(replacements: readonly Replacement[]): Transform {
  let kept = '';
  return new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      let text = kept + chunk.toString('latin1');
      for (const [from, by] of replacements) text = text.replaceAll(from, by);
      // A text may be parted between two chunks. No message ends with the beginning of one.
      const parted = replacements.map(([from]) => beginningAtEnd(text, from));
      const length = Math.max(0, ...parted);
      kept = text.slice(text.length - length);
      done(null, Buffer.from(text.slice(0, text.length - length), 'latin1'));
    },
  });
}

/** Returns how many characters of `wanted` the text ends with. */
function beginningAtEnd(text: string, wanted: string): number {
  for (let length = Math.min(wanted.length - 1, text.length); length > 0; length -= 1) {
    if (text.endsWith(wanted.slice(0, length))) return length;
  }
  return 0;
}
