/** What the operator of `config probe --sign-in` is told and asked. */
import type { SignInChallenge } from '../types.ts';

/** The operator, at a terminal or behind a pipe. */
export interface Operator {
  /** Shows the provider's address, and opens a browser there where one is. */
  readonly open: (url: URL) => void;
  readonly tell: (text: string) => void;
  /** Returns the next line; undefined or empty where there is none. */
  readonly ask: (question: string) => Promise<string | undefined>;
  /** Can do something at the provider while this waits. */
  readonly attended: boolean;
}

export const introduction = (redirectUri: string): string =>
  [
    'Sign in at the provider as yourself, or as a test user. The browser then ends at',
    `${redirectUri}?…, with an error or nothing to see,`,
    'because no server began this sign-in. Copy that whole address from the browser, and paste it here.',
    'Be quick: at many providers its code is valid for 30 to 60 seconds, and only once.',
  ].join('\n');

/** Asks for addresses until one is the callback of this sign-in. */
export async function callbackOf(
  operator: Operator,
  redirectUri: string,
  { state }: SignInChallenge,
): Promise<URL | undefined> {
  for (;;) {
    const line = (await operator.ask('Address of the browser (Enter alone ends this): '))?.trim();
    if (line === undefined || line === '') return undefined;
    const url = URL.parse(line);
    // Nothing of the line is repeated: it may have a code.
    if (url === null || url.origin + url.pathname !== redirectUri) {
      operator.tell(`That is not the callback: its address begins with ${redirectUri}?`);
      continue;
    }
    // An attacker has the operator paste the callback of a sign-in that the attacker began, whose user would then be
    // reported as the operator's (RFC 6749 §10.12). It has another state, and nothing of it is sent anywhere.
    const states = url.searchParams.getAll('state');
    if (states.length === 1 && states[0] === state) return url;
    operator.tell('That address is of another sign-in: its state is not the one of the address above.');
  }
}

export async function isDisabledNow(operator: Operator): Promise<boolean> {
  operator.tell(
    'A refresh works. To see what a disabled user gets, disable this user at the provider now, if it is a test user.',
  );
  const line = await operator.ask('Type "disabled" when that is done (Enter alone skips it): ');
  return line?.trim().toLowerCase() === 'disabled';
}
