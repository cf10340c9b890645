/** `keys generate`, `keys rotate` and `keys public`: the server's keys, in folders below one. */
import { join } from 'node:path';
import { writeStdout } from '../cli/terminal/stdout.ts';
import { auditJwkSet, generateKeys } from '../config/keys.ts';
import { rotateKeys, type KeyRotation } from '../config/rotate-keys.ts';
import { parseDuration } from '../config/values.ts';
import { inClusterApi } from './cluster-api.ts';
import { parseSecretsName, rotateSecrets } from './key-secrets.ts';
import type { Environment } from './given-config.ts';
import { defined } from '../core/defined.ts';

const FAILED = 1;
const MISCONFIGURED = 2;
/** Seconds. A token lives for less, and re-encryption takes less; a day or more is sensible. */
const SOONEST = 3600;

const print = (line: string): void => writeStdout(`${line}\n`);
const printError = (line: string): void => void process.stderr.write(`${line}\n`);

const directoriesIn = (dir: string) => ({
  signingDir: join(dir, 'signing'),
  sealingDir: join(dir, 'sealing'),
  auditDir: join(dir, 'audit'),
});

/**
 * Creates `DIR/signing`, `DIR/sealing` and `DIR/audit` with one key each.
 * @returns exit status: 0, or 1 where keys are there already
 */
export async function generate(dir: string): Promise<number> {
  const directories = directoriesIn(dir);
  return attempt(async () => {
    await generateKeys(directories);
    const { signingDir, sealingDir, auditDir } = directories;
    print(
      `made a signing key in ${signingDir}, a sealing key in ${sealingDir} and a key for the audit log in ${auditDir}`,
    );
  });
}

/** The options of `keys rotate`. */
export interface RotateOptions {
  readonly dir: string;
  readonly retireAfter?: string;
  /** `NAMESPACE/NAME`, in place of the folder. */
  readonly kubernetesSecret?: string;
}

/**
 * Creates one more key of each kind; it is used once every live replica has been able to read it for ten minutes.
 * @returns exit status: 0, 1 where keys cannot be read or written, 2 for wrong use
 */
export async function rotate(options: RotateOptions, environment: Environment): Promise<number> {
  const { dir, retireAfter, kubernetesSecret } = options;
  const seconds = retireAfter === undefined ? undefined : parseDuration(retireAfter);
  if (retireAfter !== undefined && (seconds === undefined || seconds < SOONEST)) {
    return wrongUse('--retire-after needs a duration of at least 1h, such as 168h');
  }
  const secrets = kubernetesSecret === undefined ? undefined : parseSecretsName(kubernetesSecret);
  if (kubernetesSecret !== undefined && secrets === undefined) {
    return wrongUse('--kubernetes-secret needs NAMESPACE/NAME, such as portcullis/portcullis');
  }
  const now = Math.floor(Date.now() / 1000);
  const times = { now, ...defined({ retireAfter: seconds }) };
  return attempt(async () => {
    if (secrets === undefined) printRotation(await rotateKeys({ ...directoriesIn(dir), ...times }));
    else {
      const rotated = await rotateSecrets(inClusterApi(environment), secrets, times);
      for (const one of rotated) printRotation(one, `${one.secret}: `);
    }
    print(
      'Replicas sign and encrypt with the new keys once every one of them has been able to read them for ten minutes.',
    );
  });
}

function printRotation({ made, retired, removed }: Omit<KeyRotation, 'files'>, where = ''): void {
  for (const file of made) print(`${where}made ${file}`);
  for (const file of retired) print(`${where}retired ${file}: it still verifies, and no longer signs`);
  for (const file of removed) print(`${where}removed ${file}: it was replaced long enough ago`);
}

function wrongUse(message: string): number {
  printError(message);
  return MISCONFIGURED;
}

/**
 * Prints the public keys of `DIR/audit` as a JWK Set, which a verifier of the audit log needs.
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
    printError(error instanceof Error ? error.message : String(error));
    return FAILED;
  }
}
