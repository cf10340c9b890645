/** The parser of the commands about the store, about keys and about the proof of the audit log. */
import type { Command } from 'commander';
import type { AuditVerifyOptions } from './audit-commands.ts';
import type { RotateOptions } from './key-commands.ts';
import type { Environment } from './given-config.ts';
import type { StoreCheckOptions } from './store-check.ts';

/** @param configOption of the configured store, which is checked where no URL is given */
export function addStoreCommands(
  program: Command,
  environment: Environment,
  configOption: readonly [flags: string, description: string],
): void {
  program
    .command('store')
    .description('work with the store')
    .command('check')
    .description('check whether a Redis is suitable as the store, on scratch keys: exit 1 if it is not')
    .argument('[url]', 'such as rediss://redis.example.com:6379; without it, the configured store')
    .option(...configOption)
    .option('--prefix <prefix>', 'of a URL: prefix of every key (default: portcullis)')
    .option('--nodes <number>', 'of a URL: as store.redis.nodes, 1 or 3 (default: 1)')
    .option('--username <name>', 'of a URL: user of Redis')
    .option('--password-file <file>', 'of a URL: its password (also PORTCULLIS_REDIS_PASSWORD_FILE, REDISCLI_AUTH)')
    .option('--ca-file <file>', 'of a URL: CA certificates, PEM (default: the CAs of the system)')
    .addOption(program.createOption('-o, --output <format>', 'for scripts').choices(['json', 'yaml']))
    .action(async (url: string | undefined, options: StoreCheckOptions) => {
      const { storeCheck } = await import('./store-check.ts');
      process.exitCode = await storeCheck(url, options, environment);
    });
}

export function addKeyCommands(program: Command, environment: Environment): void {
  const keys = program.command('keys').description("work with the server's keys");
  const dir = ['--dir <dir>', 'folder with the subfolders `signing`, `sealing` and `audit`', 'keys'] as const;
  keys
    .command('generate')
    .description('create a signing key, a sealing key and a key for the audit log where there are none')
    .option(...dir)
    .action(async (options: { dir: string }) => {
      const { generate } = await import('./key-commands.ts');
      process.exitCode = await generate(options.dir);
    });
  keys
    .command('rotate')
    .description(
      'create one more key of each kind, used ten minutes after every replica can read it; retire the keys of the audit log that were replaced before',
    )
    .option(...dir)
    .option('--retire-after <duration>', 'remove keys that were replaced this long ago')
    .option(
      '--kubernetes-secret <namespace/name>',
      'in a pod: rotate the Secrets NAME-signing-keys, NAME-sealing-keys and NAME-audit-keys instead of a folder',
    )
    .action(async (options: RotateOptions) => {
      const { rotate } = await import('./key-commands.ts');
      process.exitCode = await rotate(options, environment);
    });
  keys
    .command('public')
    .description('print the public keys that verify the audit log, as a JWK Set')
    .option(...dir)
    .action(async (options: { dir: string }) => {
      const { publicKeys } = await import('./key-commands.ts');
      process.exitCode = await publicKeys(options.dir);
    });
}

/** Adds `audit verify` and `audit anchors`. */
export function addAuditProof(audit: Command, environment: Environment): void {
  audit
    .command('verify')
    .description('prove that the audit log was not changed: exit 0 if it is proven, 1 if it was tampered with')
    .argument('<file...>', 'files of one sink, rotated and gzipped ones too, in any order')
    .option('--keys <dir>', 'folder of keys, as keys.auditDir')
    .option('--public <file>', 'public keys, from: portcullis keys public')
    .option('--anchors <file>', 'anchors that were kept elsewhere, one on each line, from: portcullis audit anchors')
    .option('--config <file>', 'configuration of the server, for its keys and the anchors in its Redis')
    .option('--replica <name>', 'the files are of this replica only')
    .option('--sink <sink>', 'the files are of this sink (its path, or stdout), if their names do not show it')
    .option('--strict', 'exit 1 also if something cannot be proven')
    .addOption(audit.createOption('-o, --output <format>', 'for scripts').choices(['json']))
    .action(async (files: string[], options: AuditVerifyOptions) => {
      const { verifyAudit } = await import('./audit-commands.ts');
      process.exitCode = await verifyAudit(files, options, environment);
    });
  audit
    .command('anchors')
    .description('print the signed position of each chain of the audit log, to be kept outside the server')
    .requiredOption('--config <file>', 'configuration of the server')
    .action(async ({ config }: { config: string }) => {
      const { listAnchors } = await import('./audit-commands.ts');
      process.exitCode = await listAnchors(config, environment);
    });
}
