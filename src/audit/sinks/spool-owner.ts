/** The owner of a spool: one process at a time, and free again when that one has died. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { kill, pid } from 'node:process';
import { codeOf } from './target.ts';

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW;
const HEARTBEAT_MS = 1000;
/** An owner without a heartbeat for this long is dead, wherever it ran. */
const STALE_MS = 10_000;
const MOST_BYTES = 1024;

interface Owner {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

/**
 * A file in the spool's folder, touched once a second. Two replicas that share a folder by mistake would each
 * deliver and remove the other's lines, so the second one fails until it has a folder of its own.
 */
export class SpoolOwner {
  readonly #path: string;
  readonly #self: Owner = { id: randomUUID(), host: hostname(), pid };
  #heartbeat: NodeJS.Timeout | undefined;
  #lost = false;

  constructor(folder: string) {
    this.#path = join(folder, 'owner');
  }

  /** @throws Error while another process owns the folder */
  async acquire(): Promise<void> {
    const owner = await read(this.#path);
    if (owner !== undefined && !(await this.#isDead(owner))) {
      throw new Error(
        `the audit spool is in use by process ${owner.pid} on ${owner.host}: give each process a folder of its own`,
      );
    }
    await rm(this.#path, { force: true });
    await using handle = await open(this.#path, CREATE, 0o600);
    await handle.writeFile(JSON.stringify(this.#self));
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => void this.#touch(), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  /** @throws Error when another process has taken the folder since */
  check(): void {
    if (this.#lost) throw new Error('another process has taken the audit spool: give each process a folder of its own');
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat);
    const owner = await read(this.#path).catch(() => undefined);
    if (owner?.id === this.#self.id) await rm(this.#path, { force: true });
  }

  async #touch(): Promise<void> {
    try {
      const owner = await read(this.#path);
      this.#lost ||= owner?.id !== this.#self.id;
      if (!this.#lost) await utimes(this.#path, new Date(), new Date());
    } catch {
      // If it cannot be read, it cannot be written either, and the next write reports that.
    }
  }

  async #isDead(owner: Owner): Promise<boolean> {
    // A restarted container has the same name and usually the same pid: its previous process no longer exists.
    if (owner.host === this.#self.host && (owner.pid === pid || !isAlive(owner.pid))) return true;
    return Date.now() - (await stat(this.#path)).mtimeMs > STALE_MS;
  }
}

function isAlive(other: number): boolean {
  try {
    return kill(other, 0);
  } catch (error) {
    // EPERM: the process exists, and belongs to another user.
    return codeOf(error) === 'EPERM';
  }
}

/** @returns undefined if there is no owner, or the file cannot be parsed */
async function read(path: string): Promise<Owner | undefined> {
  try {
    await using handle = await open(path, READ);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MOST_BYTES), 0, MOST_BYTES, 0);
    const owner: unknown = JSON.parse(buffer.toString('utf8', 0, bytesRead));
    return isOwner(owner) ? owner : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

const isOwner = (value: unknown): value is Owner =>
  typeof value === 'object' &&
  value !== null &&
  'id' in value &&
  typeof value.id === 'string' &&
  'host' in value &&
  typeof value.host === 'string' &&
  'pid' in value &&
  Number.isSafeInteger(value.pid);
