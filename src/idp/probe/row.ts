/** The results of `config probe`, one row for each thing that a sign-in, a re-check or a sign-out needs. */
import type { ProviderConfig } from '../../config/config.ts';
import { defined } from '../../core/defined.ts';

/** `unknown`: it cannot be determined before a user signs in. */
export type ProbeOutcome = 'works' | 'fails' | 'unknown';

export interface ProbeRow {
  readonly check: string;
  readonly outcome: ProbeOutcome;
  /** Without it no user can sign in, or nothing of a sign-in may be trusted. */
  readonly needed: boolean;
  /** May contain text of the provider: bounded, but not yet safe for a terminal. */
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
    ...defined({ action }),
  });

/** Rows of what a sign-in needs. */
export const needed = {
  works: row('works', { needed: true }),
  fails: row('fails', { needed: true }),
  unknown: row('unknown', { needed: true }),
};

/** Rows of what is optional, if its absence is known. */
export const optional = {
  works: row('works', { needed: false }),
  fails: row('fails', { needed: false }),
  unknown: row('unknown', { needed: false }),
};

/** Cuts a provider's text to what one line of a table can hold. */
export const short = (text: string, most = 160): string => (text.length > most ? `${text.slice(0, most)}…` : text);
