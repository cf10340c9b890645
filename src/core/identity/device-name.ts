/**
 * The name that a program gives its device at a sign-in, so that lists of sessions say which laptop one is.
 *
 * Anyone who signs in chooses it freely. An attacker writes one that hides a part of a list, or gives their
 * session the name of the user's own laptop. So it is one short line without invisible characters, it is shown next to
 * what Portcullis saw itself, and no decision depends on it.
 */
import { textProblem } from './names.ts';

/** Characters, as Unicode counts them. */
const MAX_CHARACTERS = 64;

/** What a name may have, for messages. */
export const DEVICE_NAME_RULE = `at most ${MAX_CHARACTERS} characters, no blanks around them, no double quotation mark and no invisible one`;

/** UTF-8 has four bytes for one at most. */
const MAX_BYTES = MAX_CHARACTERS * 4;

/** An attacker stacks marks on a letter until they cover the lines above. No script needs four after normalisation. */
const STACKED = /\p{M}{4}/u;

/**
 * Double quotation marks of any script, and those that look like them. The lists show a name between two, so that an
 * attacker would end the quotation and go on with an address, as if Portcullis had seen it.
 */
const QUOTATION_MARK = /["“”„‟″‴‶‷〃〝〞〟＂❝❞⹂ʺ˝ˮ״]|['‘’]{2}/u;

/**
 * Returns the name in Unicode's normal form C, in which the same name is always the same characters.
 * @returns undefined if it is empty or too long, has blanks around it, a quotation mark, or a character that is not
 *   displayed
 */
export function deviceName(text: string): string | undefined {
  const name = text.normalize('NFC');
  if (textProblem(name, MAX_BYTES) !== undefined || STACKED.test(name) || QUOTATION_MARK.test(name)) return undefined;
  return Array.from(name).length <= MAX_CHARACTERS ? name : undefined;
}

/**
 * Returns a name for the machine with this host name: its first label, because the domain is the same for all machines
 * of a company. What no name may have is left out, so that an odd host name keeps no user from signing in.
 * @returns undefined if nothing is left
 */
export function deviceNameOfHost(hostName: string): string | undefined {
  const [label = ''] = hostName.normalize('NFC').split('.');
  const characters = Array.from(label).filter((character) => deviceName(character) !== undefined);
  return deviceName(characters.slice(0, MAX_CHARACTERS).join(''));
}
