/**
 * What has to be typed before a revocation, by admins on the pages and at the command line alike: it cannot be taken
 * back, and a recalled command line or an open tab is easily the wrong one. Where it hits many users, or the one who
 * asks for it, a click or a `y` is not enough.
 */

type Name = string | boolean | undefined;

/** What a revocation names, as in the body of `POST revocations`. */
export interface NamedTarget {
  readonly session?: Name;
  readonly account?: Name;
  readonly username?: Name;
  readonly provider?: Name;
  readonly workload?: Name;
  readonly subject?: Name;
  readonly all?: Name;
}

/** The user who asks for it. */
export interface Self {
  readonly account: string;
  readonly username: string;
  readonly sessionId: string;
}

interface Confirmation {
  /** It ends the session of the one who asks for it. */
  readonly own: boolean;
  /** What has to be typed; absent where a yes is enough. */
  readonly word?: string;
}

/** Returns the account that a target names, which may be mistyped; undefined for one that the server looks up. */
export function accountNamed({ account, workload, subject }: NamedTarget): string | undefined {
  if (account !== undefined) return String(account);
  return workload === undefined ? undefined : `${String(workload)}/${String(subject)}`;
}

const includes = (target: NamedTarget, { account, username, sessionId }: Self): boolean =>
  target.all === true ||
  target.session === sessionId ||
  accountNamed(target) === account ||
  target.username === username ||
  (target.provider !== undefined && account.startsWith(`${String(target.provider)}/`));

/** @param self absent for the user of the server's own shell, who has no session */
export function confirmationOf(target: NamedTarget, self: Self | undefined): Confirmation {
  const own = self !== undefined && includes(target, self);
  if (target.all === true) return { own, word: 'everyone' };
  if (target.provider !== undefined) return { own, word: String(target.provider) };
  return own ? { own, word: self.username } : { own };
}
