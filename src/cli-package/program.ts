/** The parser of the commands that the packages of the command line hold. */
import type { Command } from 'commander';
import { addUserCommands, isEnough } from '../cli/cli.ts';
import { addCompletionCommands } from '../cli/commands/completion-parser.ts';
import { addPostureCommand } from '../posture/posture.ts';
import { createParser, USER_EXAMPLES } from '../cli/usage.ts';

const SERVER_COMMANDS = ['serve', 'config', 'store', 'keys', 'audit query', 'audit verify', 'audit anchors'];
const IN_WHOLE_PROGRAM =
  'in the whole program: `node src/main.ts COMMAND` on the server, `npx portcullis COMMAND` in a checkout';

function notHere(): Promise<number> {
  process.stderr.write(
    'portcullis: --config works on the server’s own shell.\n  Next: run it there, in the server’s container\n',
  );
  return Promise.resolve(2);
}

/** Creates a parser with the commands of the whole program, except those that run on a server. @param first as of the whole */
export async function createUserProgram(first?: string): Promise<Command> {
  const program = createParser('Sign in to Kubernetes with your own identity provider, act as yourself.', {
    commands: SERVER_COMMANDS,
    where: IN_WHOLE_PROGRAM,
  }).addHelpText(
    'after',
    `${USER_EXAMPLES}\n\nServer:\n  The commands ${SERVER_COMMANDS.join(', ')} are\n  ${IN_WHOLE_PROGRAM}.`,
  );
  addUserCommands(program);
  if (isEnough(program, first)) return program;
  const { addAccessCommands } = await import('../cli/commands/access-parser.ts');
  const { addAdminCommands } = await import('../cli/commands/admin-parser.ts');
  addAccessCommands(program);
  addAdminCommands(program, { unlock: notHere, revoke: notHere });
  addPostureCommand(program);
  addCompletionCommands(program);
  return program;
}
