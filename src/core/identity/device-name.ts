/**
 * The name that a program gives its device at a sign-in, so that lists of sessions say which laptop one is.
 *
 * Threat: anyone who signs in chooses it freely. An attacker writes one that hides a part of a list, or gives their
 * session the name of the user's own laptop. So it is one short line without invisible characters, it is shown next to
 * what Portcullis saw itself, and no decision depends on it.
 */
import { textProblem } from './names.ts';

/** Characters, as Unicode counts them. */
export const MAX_DEVICE_NAME = 64;

/** UTF-8 has four bytes for one at most. */
const MAX_BYTES = MAX_DEVICE_NAME * 4;

/** An attacker stacks marks on a letter until they cover the lines above. No script needs four after normalisation. */
const STACKED = /\p{M}{4}/u;

/**
 * Returns the name in Unicode's normal form C, in which the same name is always the same characters.
 * @returns undefined if it is empty or too long, has blanks around it, or a character that is not displayed
 */
export function deviceName(text: string): string | undefined {
  const name = text.normalize('NFC');
  if (textProblem(name, MAX_BYTES) !== undefined || STACKED.test(name)) return undefined;
  return Array.from(name).length <= MAX_DEVICE_NAME ? name : undefined;
}

/**
 * Returns a name for the machine with this host name: its first label, because the domain is the same for all machines
 * of a company. What no name may have is left out, so that an odd host name keeps no user from signing in.
 * @returns undefined if nothing is left
 */
export function deviceNameOfHost(hostName: string): string | undefined {
  const [label = ''] = hostName.normalize('NFC').split('.');
  const characters = Array.from(label).filter((character) => deviceName(character) !== undefined);
  return deviceName(characters.slice(0, MAX_DEVICE_NAME).join(''));
}
