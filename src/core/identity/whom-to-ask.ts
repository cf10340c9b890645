/**
 * Tells a message that says whom to ask from others. A user whose account is locked, and who is told to sign in, is rejected
 * there as well: so where a message has its own next step, neither the server nor the command adds one.
 */

const ASKS = /^(.*[.!?]) (ask your platform team\b[^.]*)\.$/is;

/** @returns what is the matter, and the step, as a command says them; undefined where the message names no one */
export function whomToAsk(message: string): { readonly what: string; readonly next: string } | undefined {
  const [, what, next] = ASKS.exec(message) ?? [];
  if (what === undefined || next === undefined) return undefined;
  return { what, next: `a${next.slice(1)}` };
}
