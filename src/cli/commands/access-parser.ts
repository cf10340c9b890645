/** The parser of `access`, `step-up` and `status`, in its own file so that a cached credential is served without it. */
import type { Command } from 'commander';
import { addServerCommand, outputOption, run, type CommonOptions } from '../cli.ts';
import { ACCESS_STATES } from '../../core/access/request.ts';
import type { AccessOptions, ApproveOptions, ListOptions } from './access-commands.ts';
import type { HistoryOptions } from './access-history-command.ts';
import type { RequestOptions } from './access-request-command.ts';
import type { StepUpOptions } from './step-up-command.ts';
import type { OutputOptions } from '../terminal/output.ts';

/** Adds `status`, `step-up` and the group `access`. */
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
  addGroup(program.command('access').description('ask for a right for a while, and approve what others ask for'));
}

const ID = ['<id>', 'its id, the first four characters of it or more, or its link'] as const;

function addGroup(group: Command): void {
  addServerCommand(group, 'list', 'list what you may ask for, what you have, and what waits for you')
    .option('--all', 'with what is over')
    .addOption(outputOption(group))
    .action((options: CommonOptions & ListOptions) =>
      run(options, async (context) => (await import('./access-commands.ts')).accessList(context, options)),
    );
  addServerCommand(group, 'request', 'ask for a role for a while, and wait until it is approved')
    .argument('<role>', 'name of the role')
    .option('--for <duration>', 'how long, such as 90s, 30m or 2h (default: 1h, or the most that the role allows)')
    .option('--reason <text>', 'why, for those who approve and for the audit log, for example a ticket')
    .option('--no-wait', 'only ask, and print the link for those who approve')
    .addOption(outputOption(group))
    .action((role: string, options: CommonOptions & RequestOptions) =>
      run(options, async (context) =>
        (await import('./access-request-command.ts')).requestAccess(context, role, options),
      ),
    );
  addServerCommand(group, 'show', 'show one request')
    .argument(...ID)
    .addOption(outputOption(group))
    .action((id: string, options: CommonOptions & AccessOptions) =>
      run(options, async (context) => (await import('./access-commands.ts')).accessShow(context, id, options)),
    );
  addServerCommand(group, 'approve', 'approve a request of another user, after it was shown to you')
    .argument(...ID)
    .option('--reason <text>', 'why, for the audit log')
    .option('--yes', 'do not ask for confirmation (needed without a terminal)')
    .addOption(outputOption(group))
    .action((id: string, options: CommonOptions & ApproveOptions) =>
      run(options, async (context) => (await import('./access-commands.ts')).accessApprove(context, id, options)),
    );
  addServerCommand(group, 'deny', 'deny a request of another user')
    .argument(...ID)
    .option('--reason <text>', 'why, for the user and for the audit log')
    .addOption(outputOption(group))
    .action((id: string, options: CommonOptions & AccessOptions) =>
      run(options, async (context) => (await import('./access-commands.ts')).accessDeny(context, id, options)),
    );
  addServerCommand(group, 'end', 'end what was granted, on every replica, or withdraw a request')
    .argument(...ID)
    .option('--reason <text>', 'why, for the audit log')
    .addOption(outputOption(group))
    .action((id: string, options: CommonOptions & AccessOptions) =>
      run(options, async (context) => (await import('./access-commands.ts')).accessEnd(context, id, options)),
    );
  addServerCommand(group, 'history', 'list the requests of all users (admins and auditors)')
    .option('--account <account>', 'of this account only, PROVIDER/SUBJECT')
    .option('--role <role>', 'for this role only')
    .addOption(group.createOption('--state <state>', 'in this state only').choices([...ACCESS_STATES]))
    .addOption(outputOption(group))
    .action((options: CommonOptions & HistoryOptions) =>
      run(options, async (context) => (await import('./access-history-command.ts')).accessHistory(context, options)),
    );
}
