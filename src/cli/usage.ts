/**
 * The parser's messages: wrong use is one line on stderr, the last one, with the nearest command or option and
 * where to read more. A whole page of help after it would push it out of sight.
 */
import { Command, type ErrorOptions, type HelpContext } from 'commander';
import { VERSION } from './http/version.ts';

interface CommandsElsewhere {
  /** `serve`, `audit query`, … */
  readonly commands: readonly string[];
  /** Where they are: the end of a sentence. */
  readonly where: string;
}

class Parser extends Command {
  readonly #elsewhere: CommandsElsewhere | undefined;

  constructor(name?: string, elsewhere?: CommandsElsewhere) {
    super(name);
    this.#elsewhere = elsewhere;
  }

  override createCommand(name?: string): Command {
    return new Parser(name, this.#elsewhere);
  }

  override error(message: string, options?: ErrorOptions): never {
    const path = pathOf(this);
    const [what = '', suggestion] = message.replace(/^error: /, '').split(/\n\((.*)\)/);
    const typed = [...path.slice(1), this.args[0]].join(' ');
    const elsewhere = options?.code === 'commander.unknownCommand' && this.#elsewhere?.commands.includes(typed);
    const next = [
      ...(suggestion === undefined ? [] : [suggestion]),
      elsewhere === true ? `It is ${this.#elsewhere?.where}.` : `See \`${[...path, '--help'].join(' ')}\`.`,
    ];
    return super.error([`${path.join(' ')}: ${what.replace(/\.$/, '')}.`, ...next].join(' '), options);
  }

  /** Help about a command that does not exist is wrong use, and not a request for the help of all commands. */
  override helpInformation(context?: HelpContext): string {
    const [first, second] = this.args;
    const asked = first === 'help' ? second : first;
    const isUnknown = asked !== undefined && !asked.startsWith('-') && this.commands.length > 0;
    if (isUnknown && !this.commands.some((one) => one.name() === asked)) this.parse([asked], { from: 'user' });
    return super.helpInformation(context);
  }
}

/** The end of the help: what a user and an admin type most. */
export const USER_EXAMPLES = `
Examples:
  portcullis login --server https://portcullis.example.com
  portcullis kubeconfig
  kubectl get pods
  portcullis access request shop-admins --for 30m --reason INC-4711
  portcullis sessions --search alice
  portcullis revoke --account corp/alice --lock --reason INC-1234`;

/**
 * Creates the parser of the command `portcullis`, without its commands. Wrong use exits with 2.
 * @param elsewhere commands of the whole program that this one does not have
 */
export function createParser(description: string, elsewhere?: CommandsElsewhere): Command {
  return new Parser('portcullis', elsewhere)
    .description(description)
    .version(`portcullis ${VERSION}`, '--version', 'show the version of this program')
    .commandsGroup('Work:')
    .helpCommand('help [command]', 'show the help of a command')
    .exitOverride(exitByUse);
}

/**
 * Ends the process (docs/reference/cli.md#exit-codes): a request for help exits 0, every other finding of the
 * parser is wrong use.
 */
function exitByUse({ exitCode }: { readonly exitCode: number }): never {
  process.exit(exitCode === 0 ? 0 : 2);
}

/** @returns the names up to this command: `portcullis`, `audit`, `query` */
function pathOf(command: Command): readonly string[] {
  const above = command.parent;
  return [...(above === null ? [] : pathOf(above)), command.name()];
}
