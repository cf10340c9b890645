/** The artefacts of OAuth and of sign-in in Redis. */
import type { Clock } from '../../contracts/clock.ts';
import { expiresAtMs } from '../lifetimes.ts';
import type { ArtefactKind, ArtefactPayload, ArtefactStore, SaveArtefact } from '../store.ts';
import { bytesOf, PART_OF_STORE, pendingShare } from '../pending.ts';
import { digest } from './keys.ts';
import type { RedisParts } from './parts.ts';
import { cleanUpAfter } from './parts.ts';
import { list, number, text } from './reply.ts';
import * as scripts from './scripts.ts';
import type { Script } from './lua.ts';

export class RedisArtefacts implements ArtefactStore {
  readonly #parts: RedisParts;
  readonly #clock: Clock;

  constructor(parts: RedisParts) {
    this.#parts = parts;
    this.#clock = parts.clock;
  }

  async save(kind: ArtefactKind, id: string, payload: ArtefactPayload, options: SaveArtefact): Promise<void> {
    const { keys, sealer } = this.#parts;
    const key = keys.artefact(kind, id);
    const sealed = await sealer.seal(payload, key);
    const reply = await this.#run(scripts.saveArtefact, [
      key,
      expiresAtMs(this.#clock.nowMs(), options.ttlSeconds),
      cleanUpAfter(options.ttlSeconds),
      sealed,
      options.session === undefined ? '' : keys.artefactsOf(options.session),
      options.uid === undefined ? '' : keys.uid(kind, options.uid),
      options.userCode === undefined ? '' : keys.userCode(kind, options.userCode),
      ...this.#budget(kind, options, sealed.length),
    ]);
    const count = number(reply[1]);
    if (count > 0) this.#parts.reportDisplaced({ kind, count });
  }

  /** Returns the arguments of `save-artefact` that concern the budget. */
  #budget(kind: ArtefactKind, options: SaveArtefact, length: number): readonly (string | number)[] {
    const share = pendingShare(kind, options);
    if (share === undefined) return ['', '', 0, 0, 0, 0];
    const site = options.from === undefined ? '' : digest(options.from);
    return [kind, site, bytesOf(length), share, this.#parts.pendingBytes, PART_OF_STORE];
  }

  async find(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined> {
    const key = this.#parts.keys.artefact(kind, id);
    return await this.#payload(await this.#run(scripts.findArtefact, [key]), kind);
  }

  async findByUid(kind: ArtefactKind, uid: string): Promise<ArtefactPayload | undefined> {
    const name = this.#parts.keys.uid(kind, uid);
    return await this.#payload(await this.#run(scripts.findArtefactByName, [name, 'uid']), kind);
  }

  async findByUserCode(kind: ArtefactKind, userCode: string): Promise<ArtefactPayload | undefined> {
    const name = this.#parts.keys.userCode(kind, userCode);
    return await this.#payload(await this.#run(scripts.findArtefactByName, [name, 'code']), kind);
  }

  async consume(kind: ArtefactKind, id: string): Promise<boolean> {
    const reply = await this.#run(scripts.consumeArtefact, [this.#parts.keys.artefact(kind, id)]);
    return number(reply[1]) === 1;
  }

  async take(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined> {
    const key = this.#parts.keys.artefact(kind, id);
    return await this.#payload(await this.#run(scripts.takeArtefact, [key]), kind);
  }

  async destroy(kind: ArtefactKind, id: string): Promise<void> {
    await this.#run(scripts.destroyArtefact, [this.#parts.keys.artefact(kind, id)]);
  }

  async destroyOfSession(session: string): Promise<void> {
    await this.#run(scripts.destroyArtefactsOf, [this.#parts.keys.artefactsOf(session)]);
  }

  async #run(script: Script, args: readonly (string | number)[]): Promise<readonly unknown[]> {
    return list(await this.#parts.runner.run(this.#parts.main, script, args));
  }

  async #payload(reply: readonly unknown[], kind: ArtefactKind): Promise<ArtefactPayload | undefined> {
    if (reply[0] === 'NONE') return undefined;
    const [key, sealed, consumed] = reply.slice(1).map(text);
    if (key === undefined || sealed === undefined) return undefined;
    // An attacker who can write to Redis points a name at another key, so the kind is checked: one kind of
    // artefact must never pass for another.
    const right = key.startsWith(`${this.#parts.keys.base}artefact:${kind}:`);
    const payload = right ? await this.#parts.sealer.open(sealed, key) : undefined;
    if (payload === undefined) {
      this.#parts.reportTampered(`artefact ${kind}`);
      return undefined;
    }
    const opened = payload as ArtefactPayload;
    return consumed === undefined || consumed === '' ? opened : { ...opened, consumed: Number(consumed) };
  }
}
