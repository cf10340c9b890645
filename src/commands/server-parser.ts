/** The parser of the commands about keys and about the proof of the audit log. */
import type { Command } from 'commander';
import type { AuditVerifyOptions } from './audit-commands.ts';
import type { RotateOptions } from './key-commands.ts';
import type { Environment } from './server-commands.ts';

export function addKeyCommands(program: Command, environment: Environment): void {
  const keys = program.command('keys').description("work with the server's keys");
  const dir = ['--dir <dir>', 'folder of all; `signing`, `sealing` and `audit` are below it', 'keys'] as const;
  keys
    .command('generate')
    .description('make a signing key, a sealing key and a key for the audit record where there are none')
    .option(...dir)
    .action(async (options: { dir: string }) => {
      const { generate } = await import('./key-commands.ts');
      process.exitCode = await generate(options.dir);
    });
  keys
    .command('rotate')
    .description(
      'make one more key of each kind, used in ten minutes; retire the record’s keys that were replaced before',
    )
    .option(...dir)
    .option('--retire-after <duration>', 'take away keys in whose place another one has signed or sealed for so long')
    .option(
      '--kubernetes-secret <namespace/name>',
      'in a pod: rotate the Secrets NAME-signing-keys, NAME-sealing-keys and NAME-audit-keys in place of a folder',
    )
    .action(async (options: RotateOptions) => {
      const { rotate } = await import('./key-commands.ts');
      process.exitCode = await rotate(options, environment);
    });
  keys
    .command('public')
    .description('print the public keys by which the audit record is verified, as a JWK Set')
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
    .description('prove that nobody changed the record: exit 0 where it is proven, 1 where it was tampered with')
    .argument('<file...>', 'files of one sink, rotated and gzipped ones too, in any order')
    .option('--keys <dir>', 'folder of keys, as keys.auditDir')
    .option('--public <file>', 'public keys, from: portcullis keys public')
    .option('--anchors <file>', 'anchors that were kept outside, one a line, from: portcullis audit anchors')
    .option('--config <file>', 'configuration of the gate: its keys, and the anchors in its Redis')
    .option('--replica <name>', 'these are the files of this replica alone')
    .option('--sink <sink>', 'these are the files of this sink (its path, or stdout), where their names do not tell')
    .option('--strict', 'exit 1 as well where something cannot be proven')
    .addOption(audit.createOption('-o, --output <format>', 'for scripts').choices(['json']))
    .action(async (files: string[], options: AuditVerifyOptions) => {
      const { verifyAudit } = await import('./audit-commands.ts');
      process.exitCode = await verifyAudit(files, options, environment);
    });
  audit
    .command('anchors')
    .description('print where each chain of the record stands, signed, to be kept outside the gate')
    .requiredOption('--config <file>', 'configuration of the gate')
    .action(async ({ config }: { config: string }) => {
      const { listAnchors } = await import('./audit-commands.ts');
      process.exitCode = await listAnchors(config, environment);
    });
}
