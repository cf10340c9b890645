/** The parser of the commands that the packages of the command line hold. */
import { Command } from 'commander';
import { addAdminCommands } from '../cli/commands/admin-parser.ts';
import { addUserCommands, exitByUse } from '../cli/cli.ts';
import { addCompletionCommands } from '../cli/commands/completion-parser.ts';
import { addPostureCommand } from '../posture/posture.ts';
import { VERSION } from '../cli/http/version.ts';

/** Creates a parser with the commands of the whole program, except those that run on a server. */
export function createUserProgram(): Command {
  const program = new Command('portcullis')
    .description('Sign in to Kubernetes with your own identity provider, act as yourself.')
    .version(`portcullis ${VERSION}`, '--version', 'show the version of this program')
    .showHelpAfterError()
    .exitOverride(exitByUse);
  addUserCommands(program);
  addAdminCommands(program, () => {
    process.stderr.write(
      'portcullis: unlock --config works on the server’s own shell.\n  Next: run it there, in the server’s container\n',
    );
    return Promise.resolve(2);
  });
  addPostureCommand(program);
  addCompletionCommands(program);
  return program;
}
