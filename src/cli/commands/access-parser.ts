/** `status`, `step-up`, and the commands of the API for access requests by its table. */
import type { Command } from 'commander';
import { addServerCommand, outputOption, run, type CommonOptions } from '../cli.ts';
import { ACCESS_API } from '../../core/api/access-operations.ts';
import { addOperationCommands, type Work, type Worked } from './operation-commands.ts';
import type { StepUpOptions } from './step-up-command.ts';
import type { OutputOptions } from '../terminal/output.ts';

/** Adds `status`, `step-up`, and the command of each operation on access requests. */
export function addAccessCommands(program: Command): void {
  program.commandsGroup('Sign-in:');
  addServerCommand(program, 'status', 'show your session, what was granted to it for a while, and what waits for you')
    .addOption(outputOption(program))
    .action((options: CommonOptions & OutputOptions) =>
      run(options, async (context) => (await import('./status-command.ts')).status(context, options)),
    );
  addServerCommand(program, 'step-up', 'authenticate again at your identity provider, and keep your session')
    .option('--device', 'by a code that you type into a browser on another machine (default over SSH)')
    .action((options: CommonOptions & StepUpOptions) =>
      run(options, async (context) => (await import('./step-up-command.ts')).stepUpCommand(context, options)),
    );
  program.commandsGroup('Work:');
  addOperationCommands(program, ACCESS_API, (name) => WORKS[name]);
}

const commands = () => import('./access-commands.ts');

const WORKS: Readonly<Record<Worked<(typeof ACCESS_API)['operations']>, Work>> = {
  listAccess: async (context, options) => (await commands()).accessList(context, options),
  requestAccess: async (context, options, role = '') =>
    (await import('./access-request-command.ts')).requestAccess(context, role, options),
  getAccess: async (context, options, id = '') => (await commands()).accessShow(context, id, options),
  approveAccess: async (context, options, id = '') => (await commands()).accessApprove(context, id, options),
  denyAccess: async (context, options, id = '') => (await commands()).accessDeny(context, id, options),
  endAccess: async (context, options, id = '') => (await commands()).accessEnd(context, id, options),
};
