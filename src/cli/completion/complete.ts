/** Completion of a command line, derived from the commands themselves. */
import type { Argument, Command, Option } from 'commander';
import type { CliContext } from '../context.ts';
import { knownServers, locateEntry, readSession } from '../session/cache.ts';
import type { SignedInUser } from '../session/session.ts';

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** What the shell offers in addition: nothing, names of files, or names of folders. */
  readonly alsoOffer: 'nothing' | 'files' | 'folders';
}

/** Returns the values of an option that only this machine knows. @param option its long name, such as `--cluster` */
export type ValuesOf = (option: string) => readonly string[];

/**
 * Completes a command line.
 * @param line the arguments after the program's name; the last is the one at the cursor, perhaps empty
 */
export function complete(program: Command, line: readonly string[], valuesOf: ValuesOf): Completion {
  const current = line.at(-1) ?? '';
  const { command, used, pending, operands, literal } = readCommandLine(program, line.slice(0, -1));
  if (pending !== undefined) return valuesFor(pending, valuesOf, current);
  if (literal || !current.startsWith('-')) return namesFor(command, operands, current);
  const equals = current.indexOf('=');
  if (equals === -1) return onlyMatching(optionNames(command, used), current);
  const option = optionOf(command, current.slice(0, equals));
  if (option === undefined) return onlyMatching([], current);
  const { candidates, alsoOffer } = valuesFor(option, valuesOf, current.slice(equals + 1));
  const whole = candidates.map(({ value, description }) => ({
    value: `${current.slice(0, equals + 1)}${value}`,
    description,
  }));
  return { candidates: whole, alsoOffer };
}

interface Read {
  readonly command: Command;
  readonly used: ReadonlySet<Option>;
  /** The option whose value comes next. */
  readonly pending: Option | undefined;
  readonly operands: number;
  /** After `--` no argument is an option. */
  readonly literal: boolean;
}

function readCommandLine(program: Command, line: readonly string[]): Read {
  let command = program;
  let used = new Set<Option>();
  let pending: Option | undefined;
  let operands = 0;
  let literal = false;
  for (const argument of line) {
    if (pending !== undefined) {
      pending = undefined;
    } else if (literal || !argument.startsWith('-')) {
      const next = operands === 0 && !literal ? subcommandOf(command, argument) : undefined;
      if (next === undefined) operands += 1;
      else [command, used] = [next, new Set()];
    } else if (argument === '--') {
      literal = true;
    } else {
      const [name = '', ...value] = argument.split('=');
      const option = optionOf(command, name);
      if (option !== undefined) used.add(option);
      if (option?.required === true && value.length === 0) pending = option;
    }
  }
  return { command, used, pending, operands, literal };
}

const subcommandOf = (command: Command, argument: string): Command | undefined =>
  command.commands.find((one) => one.name() === argument || one.aliases().includes(argument));

const optionOf = (command: Command, name: string): Option | undefined =>
  command.options.find(({ long, short }) => long === name || short === name);

function namesFor(command: Command, operands: number, current: string): Completion {
  const help = command.createHelp();
  const subcommands = operands === 0 ? help.visibleCommands(command) : [];
  const names = subcommands.map((one) => ({ value: one.name(), description: one.description() }));
  const argument: Argument | undefined = command.registeredArguments[operands];
  const choices = (argument?.argChoices ?? []).map((value) => ({ value, description: '' }));
  return onlyMatching([...names, ...choices], current);
}

function optionNames(command: Command, used: ReadonlySet<Option>): readonly Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .filter((option) => option.variadic || !used.has(option))
    .flatMap(({ long, description }) => (long === undefined ? [] : [{ value: long, description }]));
}

function valuesFor(option: Option, valuesOf: ValuesOf, current: string): Completion {
  if (option.flags.includes('<file>')) return { candidates: [], alsoOffer: 'files' };
  if (option.flags.includes('<dir>')) return { candidates: [], alsoOffer: 'folders' };
  const values = option.argChoices ?? valuesOf(option.long ?? '');
  return onlyMatching(
    values.map((value) => ({ value, description: '' })),
    current,
  );
}

/**
 * bash puts a candidate into the line as it is. An attacker could make a server return a name with shell syntax, so
 * a value with a character that a shell interprets is never offered.
 */
const SAFE = /^[A-Za-z0-9._~:/@%+,=-]+$/;

const onlyMatching = (candidates: readonly Candidate[], current: string): Completion => ({
  candidates: candidates.filter(({ value }) => SAFE.test(value) && value.startsWith(current)),
  alsoOffer: 'nothing',
});

/**
 * Returns values from the cache. It never uses the network: a Tab must neither wait nor sign a user in.
 * @param line the arguments as they were typed; a `--server` among them narrows the values
 */
export function cachedValues(context: CliContext, line: readonly string[]): ValuesOf {
  return (option) => {
    const servers = knownServers(context.environment.cacheDir);
    if (option === '--server') return servers.map(({ url }) => url);
    const named = servers.filter(({ url }) => line.includes(url) || line.includes(`--server=${url}`));
    const users = (named.length > 0 ? named : servers).flatMap((server): SignedInUser[] => {
      const session = readSession(locateEntry(context.environment.cacheDir, server));
      return session === undefined ? [] : [session.user];
    });
    if (option === '--cluster') return unique(users.flatMap(({ clusters }) => clusters.map(({ name }) => name)));
    if (option === '--provider') return unique(users.map(({ account }) => account.split('/')[0] ?? ''));
    return [];
  };
}

const unique = (values: readonly string[]): readonly string[] => [...new Set(values)].toSorted();
