/** What `config probe` finds out, one row for each thing that a sign-in, a re-check or a sign-out will need. */
import type { ProviderConfig } from '../../config/config.ts';

/** `unknown`: it cannot be told before a user signs in. */
export type ProbeOutcome = 'works' | 'fails' | 'unknown';

export interface ProbeRow {
  readonly check: string;
  readonly outcome: ProbeOutcome;
  /** Without it nobody can sign in, or nothing that a sign-in brings may be trusted. */
  readonly needed: boolean;
  /** May hold text of the provider: bounded, but not yet safe for a terminal. */
  readonly seen: string;
  /** What to do. */
  readonly action?: string;
}

/** An address that has to be registered at the provider. */
export interface Registration {
  readonly what: string;
  readonly address: string;
}

export interface ProbeReport {
  readonly provider: string;
  readonly type: ProviderConfig['type'];
  readonly issuer: string;
  readonly rows: readonly ProbeRow[];
  readonly register: readonly Registration[];
}

type Rest = Omit<ProbeRow, 'check' | 'outcome' | 'seen' | 'action'>;

const row =
  (outcome: ProbeOutcome, rest: Rest) =>
  (check: string, seen: string, action?: string): ProbeRow => ({
    check,
    outcome,
    ...rest,
    seen,
    ...(action === undefined ? {} : { action }),
  });

/** Rows of what a sign-in cannot do without. */
export const needed = {
  works: row('works', { needed: true }),
  fails: row('fails', { needed: true }),
  unknown: row('unknown', { needed: true }),
};

/** Rows of what one can live without, knowingly. */
export const optional = {
  works: row('works', { needed: false }),
  fails: row('fails', { needed: false }),
  unknown: row('unknown', { needed: false }),
};

/** A provider's text, cut to what one line of a table can hold. */
export const short = (text: string, most = 160): string => (text.length > most ? `${text.slice(0, most)}…` : text);
