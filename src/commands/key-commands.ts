/** `keys generate`, `keys rotate` and `keys public`: the server's keys, in folders below one. */
import { join } from 'node:path';
import { auditJwkSet, generateKeys } from '../config/keys.ts';
import { rotateKeys } from '../config/rotate-keys.ts';

const FAILED = 1;

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

const directoriesIn = (dir: string) => ({
  signingDir: join(dir, 'signing'),
  sealingDir: join(dir, 'sealing'),
  auditDir: join(dir, 'audit'),
});

/**
 * Makes `DIR/signing`, `DIR/sealing` and `DIR/audit` with one key each.
 * @returns exit status: 0, or 1 where keys are there already
 */
export async function generate(dir: string): Promise<number> {
  const directories = directoriesIn(dir);
  return attempt(async () => {
    await generateKeys(directories);
    const { signingDir, sealingDir, auditDir } = directories;
    print(
      `made a signing key in ${signingDir}, a sealing key in ${sealingDir} and a key for the record in ${auditDir}`,
    );
  });
}

/**
 * Makes one more key of each kind; it is used ten minutes later.
 * @returns exit status: 0, or 1 where a directory cannot be read or written
 */
export async function rotate(dir: string): Promise<number> {
  return attempt(async () => {
    const { made, retired } = await rotateKeys(directoriesIn(dir));
    for (const file of made) print(`made ${file}`);
    for (const file of retired) print(`retired ${file}: it verifies, and signs no more`);
    print(
      'Bring all of them to every replica, and restart the replicas one by one. Older keys go on to verify and to open.',
    );
  });
}

/**
 * Prints what a verifier of the record needs: the public keys of `DIR/audit`, as a JWK Set.
 * @returns exit status: 0, or 1 where the directory cannot be read
 */
export async function publicKeys(dir: string): Promise<number> {
  return attempt(async () => print(JSON.stringify(await auditJwkSet(directoriesIn(dir).auditDir), undefined, 2)));
}

async function attempt(act: () => Promise<void>): Promise<number> {
  try {
    await act();
    return 0;
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    return FAILED;
  }
}
