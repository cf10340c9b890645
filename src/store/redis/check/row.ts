/** The rows of `portcullis store check`. */

/** `no`: Portcullis does not work with this server, or keeps less than it promises. */
export type CheckOutcome = 'ok' | 'warn' | 'no';

export interface CheckRow {
  readonly check: string;
  readonly needed: string;
  /** May contain text of the server: bounded, but not yet safe for a terminal. */
  readonly found: string;
  readonly outcome: CheckOutcome;
  /** What follows from what was found, in one sentence. */
  readonly consequence: string;
}

/** Returns the functions that make the rows of one check. */
export const rowsOf = (check: string, needed: string) => {
  const row =
    (outcome: CheckOutcome) =>
    (found: string, consequence: string): CheckRow => ({ check, needed, found: short(found), outcome, consequence });
  return { ok: row('ok'), warn: row('warn'), no: row('no') };
};

/** Cuts a server's text to what one line of a table can hold. */
const short = (text: string, most = 200): string => (text.length > most ? `${text.slice(0, most)}…` : text);
