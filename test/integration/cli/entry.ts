/** Runs the commands for users as main.ts does. */
import { addAccessCommands } from '../../../src/cli/commands/access-parser.ts';
import { addAdminCommands } from '../../../src/cli/commands/admin-parser.ts';
import { addUserCommands } from '../../../src/cli/cli.ts';
import { addCompletionCommands } from '../../../src/cli/commands/completion-parser.ts';
import { createParser } from '../../../src/cli/usage.ts';

const program = createParser('');
addUserCommands(program);
addAccessCommands(program);
addAdminCommands(program, { unlock: () => Promise.resolve(0), revoke: () => Promise.resolve(0) });
addCompletionCommands(program);
await program.parseAsync();
