/** The steps of a probe's sign-in, each with what the provider sent. */
import type { AppError } from '../../core/errors.ts';
import { FreshProofMissing } from '../fresh-sign-in.ts';
import type { ProviderSignIn, SignInChallenge } from '../types.ts';
import type { Metadata } from './metadata.ts';
import type { ReceivedTokens } from './received.ts';
import { short } from './row.ts';

/** A re-check of a user. */
export interface Refresh {
  readonly user?: ProviderSignIn;
  readonly error?: AppError;
  readonly tokens?: ReceivedTokens;
  /** Absent where it was not asked, or what it sent is no object. For GitHub: what its API said. */
  readonly userInfo?: Metadata;
  readonly askedUserInfo: boolean;
}

/** One sign-in at the provider, up to what became of it. */
export interface Attempt extends Refresh {
  readonly challenge: SignInChallenge;
  /** Parameters of the authorization request. */
  readonly asked: URLSearchParams;
}

/** Whether it failed because the user had to authenticate again, and the provider showed no proof of it. */
export const isAboutProof = ({ challenge, error }: Attempt): boolean =>
  challenge.asked !== undefined &&
  (error instanceof FreshProofMissing || /^(?:fresh_sign_in|auth_time)_/.test(error?.reason ?? ''));

/** Returns why a step failed, for an operator: the reason of the audit event, and the causes without a secret. */
export function causesOf(error: AppError, redacted: (text: string) => string): string {
  const texts: string[] = [];
  for (let each = error.cause; each instanceof Error; each = each.cause) texts.push(each.message);
  const causes = short(redacted(texts.join(': ')), 300);
  return causes === '' ? error.reason : `${error.reason} (${causes})`;
}
