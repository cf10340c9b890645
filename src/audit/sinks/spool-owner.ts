/** Whose a spool is: one process at a time, and free again when that one has died. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { kill, pid } from 'node:process';
import { codeOf } from './target.ts';

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW;
const BEAT_MS = 1000;
/** An owner that has not been heard of for so long is dead, wherever it ran. */
const SILENT_MS = 10_000;
const MOST_BYTES = 1024;

interface Claim {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

/**
 * A file in the spool's folder, touched once a second. Threat: two replicas that share a folder by mistake would each deliver and remove the
 * other's lines, so the one that comes second fails until it has a folder of its own.
 */
export class SpoolOwner {
  readonly #path: string;
  readonly #claim: Claim = { id: randomUUID(), host: hostname(), pid };
  #beat: NodeJS.Timeout | undefined;
  #lost = false;

  constructor(folder: string) {
    this.#path = join(folder, 'owner');
  }

  /** @throws Error while the folder is another's */
  async take(): Promise<void> {
    const owner = await read(this.#path);
    if (owner !== undefined && !(await this.#isDead(owner))) {
      throw new Error(
        `the audit spool is in use by process ${owner.pid} on ${owner.host}: give each process a folder of its own`,
      );
    }
    await rm(this.#path, { force: true });
    await using handle = await open(this.#path, CREATE, 0o600);
    await handle.writeFile(JSON.stringify(this.#claim));
    clearInterval(this.#beat);
    this.#beat = setInterval(() => void this.#touch(), BEAT_MS);
    this.#beat.unref();
  }

  /** @throws Error when another process has taken the folder since */
  check(): void {
    if (this.#lost) throw new Error('another process has taken the audit spool: give each process a folder of its own');
  }

  async release(): Promise<void> {
    clearInterval(this.#beat);
    const owner = await read(this.#path).catch(() => undefined);
    if (owner?.id === this.#claim.id) await rm(this.#path, { force: true });
  }

  async #touch(): Promise<void> {
    try {
      const owner = await read(this.#path);
      this.#lost ||= owner?.id !== this.#claim.id;
      if (!this.#lost) await utimes(this.#path, new Date(), new Date());
    } catch {
      // What cannot be looked at cannot be written either, and the next write says so.
    }
  }

  async #isDead(owner: Claim): Promise<boolean> {
    // A container that is started again has the same name and, as a rule, the same pid: what had it then is no more.
    if (owner.host === this.#claim.host && (owner.pid === pid || !isAlive(owner.pid))) return true;
    return Date.now() - (await stat(this.#path)).mtimeMs > SILENT_MS;
  }
}

function isAlive(other: number): boolean {
  try {
    return kill(other, 0);
  } catch (error) {
    // EPERM: there is one, and it is another user's.
    return codeOf(error) === 'EPERM';
  }
}

/** @returns undefined where nobody is written down, or nothing that can be read as somebody */
async function read(path: string): Promise<Claim | undefined> {
  try {
    await using handle = await open(path, READ);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MOST_BYTES), 0, MOST_BYTES, 0);
    const claim: unknown = JSON.parse(buffer.toString('utf8', 0, bytesRead));
    return isClaim(claim) ? claim : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

const isClaim = (value: unknown): value is Claim =>
  typeof value === 'object' &&
  value !== null &&
  'id' in value &&
  typeof value.id === 'string' &&
  'host' in value &&
  typeof value.host === 'string' &&
  'pid' in value &&
  Number.isSafeInteger(value.pid);
