/** Runs the commands for users as main.ts does. */
import { Command } from 'commander';
import { addAdminCommands } from '../../../src/cli/commands/admin-parser.ts';
import { addUserCommands } from '../../../src/cli/cli.ts';
import { addCompletionCommands } from '../../../src/cli/commands/completion-parser.ts';

const program = new Command('portcullis');
addUserCommands(program);
addAdminCommands(program, () => Promise.resolve(0));
addCompletionCommands(program);
await program.parseAsync();
