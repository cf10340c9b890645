/** The demo's command line, as `npm run demo` starts it. The server's program has no such command: the image must not have the demo's passwords. */
import { Command } from 'commander';
import { runDemo, type DemoArguments } from './run.ts';

const program = new Command('npm run demo --')
  .description('The whole of Portcullis on this machine, with an identity provider and a cluster of its own.')
  .option('--dir <dir>', 'where its files go')
  .option('--port-base <port>', 'the first of its five ports')
  .option('--redis <url>', 'keep sessions in this Redis instead of in memory')
  .option(
    '--kubeconfig <file>',
    'stand in front of this real cluster: makes a namespace, a service account and RBAC there, with a printed password for cluster-admin',
  )
  .option('--with-monitoring', 'run Prometheus beside it, where it is installed, on the sixth port')
  .option('--tour', 'tell the whole story by itself, and check it')
  .option('--lesson <number>', 'set the scene of a lesson of docs/training, and say when its tasks are done')
  .option(
    '--answer <answers...>',
    'with --lesson: answers to its questions, as QUESTION=ANSWER, while it runs elsewhere',
  )
  .showHelpAfterError()
  // As everywhere in Portcullis: help is 0, everything else that the parser finds is wrong use.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));

process.exitCode = await runDemo(program.parse().opts<DemoArguments>());
