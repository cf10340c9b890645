import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { keyText, makeKey, writeKeyFile } from '../../../src/config/generate-keys.ts';
import { keyId, keyThumbprint } from '../../../src/core/credential/key-agreement.ts';
import { followServerKeys } from '../../../src/server/keys.ts';
import { temporaryDirectory } from '../config/sandbox.ts';

const ignored = (): void => undefined;

// The others follow what a replica registers as in use: one that starts with a key that they must wait for would end their wait.
test('a replica that starts registers no key as in use before it has seen what the others use', async () => {
  const directory = temporaryDirectory();
  const ids: string[] = [];
  const thumbprints: Record<string, string> = {};
  for (const kind of ['signing', 'sealing'] as const) {
    mkdirSync(join(directory, kind));
    for (const iat of [1, 2]) {
      const key = await makeKey(kind, iat);
      await writeKeyFile(join(directory, kind, `${iat}.json`), keyText(key));
      ids.push(keyId(kind, key.kid));
      thumbprints[keyId(kind, key.kid)] = keyThumbprint(key);
    }
  }
  const keys = { signingDir: join(directory, 'signing'), sealingDir: join(directory, 'sealing') };
  const followed = await followServerKeys({ keys, sessions: { accessToken: 300 } } as unknown as Config, {
    clock: { nowMs: Date.now },
    logger: { info: ignored, warn: ignored, error: ignored },
    metrics: { keysChanged: ignored, observeKey: ignored, observeLackedKey: ignored },
    changed: ignored,
  });
  onTestFinished(() => followed.stop());
  const { ofReplicas } = followed;
  const { has, uses } = ofReplicas.registered();
  expect(has.toSorted()).toEqual(ids.toSorted());
  expect(uses).toEqual([]);
  expect(ofReplicas.registered().thumbprints).toEqual(thumbprints);
  // One whose keys cannot be read here: it must not miss those that are used here.
  const others = ['signing:x', 'sealing:x'];
  ofReplicas.seen([{ name: 'b', keys: { has: others, uses: others } }], 0);
  expect(ofReplicas.registered().uses).toEqual([]);
  const old = ids.filter((_, index) => index % 2 === 0);
  ofReplicas.seen([{ name: 'b', keys: { has: old, uses: old } }], 0);
  expect(ofReplicas.registered().uses).toEqual(old);
  // Another replica's, under the same kids.
  const otherKeys = Object.fromEntries(old.map((id) => [id, 'other']));
  ofReplicas.seen([{ name: 'b', keys: { has: old, uses: old, thumbprints: otherKeys } }], 1);
  expect(followed.ahead()).toEqual(['b']);
  // What is used here once stays so for the others.
  expect(ofReplicas.registered().uses).toEqual(old);
});
