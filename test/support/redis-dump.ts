/** What an attacker who stole a Redis would have. */
import type { Redis } from 'ioredis';

/** Every key's name, its value as its type is read, and the bytes that Redis would write to disk. */
export async function dumpRedis(bare: Redis): Promise<{ readonly keys: readonly string[]; readonly bytes: Buffer }> {
  const keys: string[] = [];
  for await (const batch of bare.scanStream({ count: 100 })) keys.push(...(batch as string[]));
  const readers: Record<string, (key: string) => Promise<unknown>> = {
    string: (key) => bare.get(key),
    hash: (key) => bare.hgetall(key),
    set: (key) => bare.smembers(key),
    zset: (key) => bare.zrange(key, 0, '-1', 'WITHSCORES'),
    stream: (key) => bare.xrange(key, '-', '+'),
    list: (key) => bare.lrange(key, 0, -1),
  };
  const parts: Buffer[] = [];
  for (const key of keys) {
    const read = readers[await bare.type(key)];
    if (read === undefined) throw new Error(`no reader for the type of ${key}`);
    parts.push(Buffer.from(`${key} ${JSON.stringify(await read(key))}`), (await bare.dumpBuffer(key)) ?? Buffer.of());
  }
  return { keys, bytes: Buffer.concat(parts) };
}

/** The encodings under which a secret could still be read, or used. Base64 has three forms, by where in a text it begins. */
export function spellings(secret: string): readonly string[] {
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), Buffer.from(secret)])
      .toString('base64url')
      .slice(shift === 0 ? 0 : shift + 1, -4),
  );
  return [secret, encodeURIComponent(secret), Buffer.from(secret).toString('hex'), ...base64];
}
