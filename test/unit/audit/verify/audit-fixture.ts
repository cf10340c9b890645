/**
 * An audit log as several replicas write it, in files as a sink leaves them, and the ways in which someone might lay
 * hands on it.
 */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { JWK } from 'jose';
import { signAnchor } from '../../../../src/audit/chain/anchors.ts';
import { Chain, type AuditKey } from '../../../../src/audit/chain/chain.ts';
import type { ChainHead } from '../../../../src/audit/chain/chain-facts.ts';
import { portcullisEvent, type AuditFacts, type PortcullisEventName } from '../../../../src/core/audit/event.ts';
import { numbered } from '../fixtures.ts';

export interface TestKey extends AuditKey {
  readonly publicJwk: JWK;
}

export function aKey(kid = 'audit-1'): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [publicJwk, privateJwk]: JWK[] = [publicKey, privateKey].map((key) => ({
    ...key.export({ format: 'jwk' }),
    kid,
  }));
  if (publicJwk === undefined || privateJwk === undefined) throw new Error('no key was made');
  return { kid, privateJwk, publicJwk };
}

export const publicKeys = (...keys: readonly TestKey[]): ReadonlyMap<string, JWK> =>
  new Map(keys.map(({ kid, publicJwk }) => [kid, publicJwk]));

/** A line, and where it belongs. */
export interface RecordLine {
  readonly chain: string;
  readonly seq: number;
  readonly text: string;
}

const AT = Date.parse('2026-01-02T00:00:00Z');

/** One process of a replica, whose lines are written one at a time. */
export class Instance {
  readonly #chain: Chain;
  readonly #key: AuditKey;
  readonly replica: string;

  constructor(key: AuditKey, replica: string) {
    this.#key = key;
    this.#chain = new Chain(key);
    this.replica = replica;
  }

  get head(): ChainHead {
    return this.#chain.head;
  }

  open(before?: ChainHead): RecordLine {
    const previous = before && {
      'previous-chain': before.chain,
      'previous-seq': String(before.seq),
      'previous-hash': before.hash,
    };
    return this.signed('audit-opened', previous);
  }

  request(n: number): RecordLine {
    return this.#line(this.#chain.append(numbered(n)));
  }

  plain(event: PortcullisEventName, details: AuditFacts = {}): RecordLine {
    return this.#line(this.#chain.append(this.#event(event, details)));
  }

  signed(event: PortcullisEventName, details: AuditFacts = {}): RecordLine {
    return this.#line(this.#chain.appendSigned(this.#event(event, { ...details, 'key-id': this.#key.kid })));
  }

  anchor(): Promise<string> {
    return signAnchor({ ...this.head, replica: this.replica, at: AT + 60_000 }, this.#key);
  }

  #event(event: PortcullisEventName, details: AuditFacts) {
    const all = { replica: this.replica, ...details };
    return portcullisEvent({ event, auditId: 'own', at: AT, requestUri: '', sourceIps: [], code: 200, details: all });
  }

  #line({ line, seq }: { readonly line: Buffer; readonly seq: number }): RecordLine {
    return { chain: this.head.chain, seq, text: line.toString().trimEnd() };
  }
}

export interface TestRecord {
  readonly key: TestKey;
  readonly instances: readonly Instance[];
  /** In the order in which the sink has them, file by file. */
  readonly files: RecordLine[][];
  readonly anchors: readonly string[];
}

/**
 * Three processes: the second begins where the first one crashed, the third writes between the lines of both.
 * @param choose a number below its argument; it decides who writes what, and where files end
 */
export async function aRecord(choose: (below: number) => number, key = aKey()): Promise<TestRecord> {
  const lines: RecordLine[] = [];
  const [first, second, third] = [
    new Instance(key, 'portcullis-0'),
    new Instance(key, 'portcullis-0'),
    new Instance(key, 'portcullis-1'),
  ] as const;
  let n = 0;
  const write = (instance: Instance): void => {
    n += 1;
    lines.push(choose(6) === 0 ? instance.signed('audit-checkpoint') : instance.request(n));
  };
  lines.push(first.open(), third.open());
  for (let left = 10 + choose(20); left > 0; left -= 1) write(choose(3) === 0 ? third : first);
  write(first);
  lines.push(second.open(first.head));
  for (let left = 10 + choose(20); left > 0; left -= 1) write(choose(3) === 0 ? third : second);
  lines.push(second.signed('audit-closed'));
  const instances = [first, second, third];
  return {
    key,
    instances,
    files: split(lines, choose),
    anchors: await Promise.all(instances.map((instance) => instance.anchor())),
  };
}

function split(lines: readonly RecordLine[], choose: (below: number) => number): RecordLine[][] {
  const files: RecordLine[][] = [];
  for (let from = 0; from < lines.length;) {
    const to = Math.min(lines.length, from + 5 + choose(20));
    files.push(lines.slice(from, to));
    from = to;
  }
  return files;
}

/** Writes them as rotation does, every second one compressed, and gives their paths in an order of its own. */
export function filesIn(folder: string, files: readonly (readonly RecordLine[])[]): readonly string[] {
  const paths = files.map((lines, index) => {
    const content = lines.map(({ text }) => `${text}\n`).join('');
    const packed = index % 2 === 1;
    const path = join(folder, `audit.log.2026-01-02T00-00-0${index}.000Z${packed ? '.gz' : ''}`);
    writeFileSync(path, packed ? gzipSync(content) : content);
    return path;
  });
  return paths.toReversed();
}
