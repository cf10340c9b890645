/**
 * Reads the configuration, from a file or from the environment, never from both.
 */
import { resolve } from 'node:path';
import { no, ok, type Result } from '../core/result.ts';
import { assemble } from './assemble.ts';
import { checkClientKeys } from './client-auth.ts';
import type { Config } from './config.ts';
import { ValidationErrors, type SourceDocument } from './document.ts';
import { FILE_VARIABLE, environmentDocument, misspelt, setVariables, type Environment } from './environment.ts';
import type { ConfigWarning, ValidationError } from './validation-errors.ts';
import { checkFiles, mayHoldSecret, namedFiles, withAbsoluteNames } from './file-settings.ts';
import { checkOutbound } from './outbound.ts';
import { configuration } from './schema.ts';
import { parseDocument } from './parse.ts';
import { checkSemantics } from './semantics.ts';
import { warningsOf } from './warnings.ts';
import { readYamlFile } from './yaml-file.ts';

export { formatErrors, type ValidationError } from './validation-errors.ts';

export interface LoadedConfig {
  readonly config: Config;
  /** To be logged at each start. */
  readonly warnings: readonly ConfigWarning[];
  /** The file that it was read from, absolute; absent where the environment has it. */
  readonly file?: string;
}

export interface LoadOptions {
  /** `--config FILE`. */
  readonly file?: string;
  readonly env: Environment;
  /** Relative paths of the environment form are relative to this; those of a file to the file's own directory. */
  readonly workingDirectory?: string;
  /** `off`: the files that the configuration names are not read, where they are on another machine. Default: `on`. */
  readonly files?: 'on' | 'off';
}

/** @returns the configuration, frozen, or all its validation errors */
export async function loadConfig(options: LoadOptions): Promise<Result<LoadedConfig, readonly ValidationError[]>> {
  const source = await sourceOf(options);
  if (!source.ok) return source;
  const document = source.value;
  const errors = new ValidationErrors(document, (path) => mayHoldSecret(configuration, path));
  const locate = (file: string): string => resolve(document.baseDirectory, file);

  const files = namedFiles(configuration, document.root);
  const { sections, whole } = parseDocument(withAbsoluteNames(document.root, files, locate), errors);
  checkSemantics(document.root, sections, errors);
  checkOutbound(document.root, options.env, errors);
  if (options.files !== 'off') {
    await checkFiles(files, locate, errors);
    await checkClientKeys(document.root, locate, errors);
  }

  if (errors.all.length > 0 || whole === undefined) return no(errors.all);
  const config = assemble(whole, options.env);
  const { file } = document;
  return ok({ config, warnings: warningsOf(config), ...(file === undefined ? {} : { file }) });
}

async function sourceOf(options: LoadOptions): Promise<Result<SourceDocument, readonly ValidationError[]>> {
  const { env, workingDirectory = '.' } = options;
  const set = setVariables(env);
  const named = env[FILE_VARIABLE] === '' ? undefined : env[FILE_VARIABLE];
  const file = options.file ?? named;
  const wrong = [...misspelt(env), ...unchecked(env)];
  if (file === undefined) {
    if (wrong.length > 0) return no(wrong);
    return set.length === 0 ? no([NOTHING]) : ok(environmentDocument(env, resolve(workingDirectory)));
  }
  // A variable that overrode the file, or a file that overrode a variable, would be found at the worst moment.
  const clashes: ValidationError[] = set.map((path) => ({ path, expected: `not to be set, because ${file} is used` }));
  if (options.file !== undefined && named !== undefined && resolve(named) !== resolve(options.file)) {
    clashes.push({ path: FILE_VARIABLE, expected: `not to be set, because --config names ${options.file}` });
  }
  const document = await readYamlFile(file);
  if (document.ok && clashes.length + wrong.length === 0) return document;
  return no([...clashes, ...wrong, ...(document.ok ? [] : document.reason)]);
}

/** Node accepts any certificate then, for whatever does not say otherwise: an attacker on the way would be the provider, or Redis. */
const unchecked = (env: Environment): readonly ValidationError[] =>
  env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0'
    ? [{ path: 'NODE_TLS_REJECT_UNAUTHORIZED', expected: 'not to be 0; name the CA by caFile or NODE_EXTRA_CA_CERTS' }]
    : [];

const NOTHING: ValidationError = {
  path: '',
  expected: `a configuration: --config FILE, ${FILE_VARIABLE}, or PORTCULLIS_PUBLIC_URL and the other variables of .env.example`,
};
