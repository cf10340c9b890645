/** Every command there is, as a parser. What runs on a server is imported when it is asked for, so that a laptop never loads it. */
import { Command } from 'commander';
import { addAdminCommands } from './cli/admin-line.ts';
import { addLaptopCommands } from './cli/cli.ts';
import type { DemoArguments } from './demo/run.ts';
import type { Environment } from './server-commands.ts';

const CONFIG_OPTION = [
  '--config <file>',
  'configuration file (or PORTCULLIS_CONFIG, or the PORTCULLIS_… variables of .env.example)',
] as const;

/**
 * The actions set `process.exitCode`: 0 done, 1 failed, 2 wrong use or configuration, 3 refused (CONTRACT).
 * @param environment what the server's commands may take their configuration from
 */
export function createProgram(environment: Environment): Command {
  const program = new Command('portcullis')
    .description('A gate in front of Kubernetes: sign in with your own identity provider, act as yourself.')
    .showHelpAfterError();
  addLaptopCommands(program);
  addAdminCommands(program, async (options) => {
    const { unlockHere } = await import('./server-commands.ts');
    return unlockHere(options, environment);
  });
  addServerCommands(program, environment);
  addDemo(program);
  return program;
}

function addServerCommands(program: Command, environment: Environment): void {
  program
    .command('serve')
    .description('run the gate')
    .option(...CONFIG_OPTION)
    .action(async ({ config }: { config?: string }) => {
      const { serve } = await import('./server-commands.ts');
      process.exitCode = await serve(config, environment);
    });
  program
    .command('config')
    .description('work with the configuration')
    .command('check')
    .description('check a configuration: every fault at once, exit 2 where there is one')
    .option(...CONFIG_OPTION)
    .action(async ({ config }: { config?: string }) => {
      const { checkConfig } = await import('./server-commands.ts');
      process.exitCode = await checkConfig(config, environment);
    });
  program
    .command('keys')
    .description("work with the server's keys")
    .command('generate')
    .description('make a signing key and a sealing key where there are none')
    .option('--dir <dir>', 'folder for both; `keys.signingDir` and `keys.sealingDir` are below it', 'keys')
    .action(async ({ dir }: { dir: string }) => {
      const { generate } = await import('./server-commands.ts');
      process.exitCode = await generate(dir);
    });
}

function addDemo(program: Command): void {
  program
    .command('demo')
    .description('the whole of it on this machine, with an identity provider and a cluster of its own')
    .option('--dir <dir>', 'where its files go')
    .option('--port-base <port>', 'the first of its five ports')
    .option('--redis <url>', 'keep sessions in this Redis instead of in memory')
    .option(
      '--kubeconfig <file>',
      'stand in front of this real cluster: makes a namespace, a service account and RBAC there',
    )
    .option('--tour', 'tell the whole story by itself, and check it')
    .action(async (options: DemoArguments) => {
      const { runDemo } = await import('./demo/run.ts');
      process.exitCode = await runDemo(options);
    });
}
