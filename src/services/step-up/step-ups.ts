/** What the pages need of step-ups. */
import type { StepUpRejection, StepUpResult } from '../../core/api/rejections.ts';

/** A step-up that waits for its user. All but `id`, `account` and `provider` is for the page that asks. */
export interface PendingStepUp {
  readonly id: string;
  readonly account: string;
  readonly provider: string;
  readonly username: string;
  readonly session: string;
  /** Of the program that began it. */
  readonly address: string;
  readonly userAgent: string;
  /** The name that the program gave its device at the sign-in; anyone may choose it. */
  readonly deviceName?: string;
  /** How the proof gets to the program: by its loopback address, or because the user has typed its code. */
  readonly by: 'loopback' | 'code';
}

/** What the provider has confirmed, of a login transaction that asked for a fresh sign-in. */
export interface StepUpProof {
  readonly account: string;
  /** Of the user, as the provider has them now. */
  readonly groups: readonly string[];
  /** Epoch seconds, of the ID token. Absent where the provider gave none that can be true. */
  readonly authTime?: number;
  /** The position in the revocation log at the beginning of the login transaction. */
  readonly startedAt: { readonly epoch: string; readonly number: number };
}

/** The request of a browser, for the audit log. */
export interface StepUpRequestContext {
  readonly requestId: string;
  readonly address: string;
  readonly userAgent: string;
}

export interface StepUps {
  /**
   * Rejects one that is unknown, decided or too old.
   * @param options.typed the browser has shown that its user typed the code; without it, what has a code is unknown, because a
   *   link must not be enough
   */
  find(id: string, options?: { readonly typed: true }): Promise<StepUpResult<PendingStepUp>>;
  /** Rejects a code that is unknown, decided or too old. */
  findByCode(userCode: string): Promise<StepUpResult<PendingStepUp>>;
  /**
   * Finishes a step-up, once. Audits what it did, and not what it rejects: another account, no proof, a session that has a group
   * that the user has no more, or that is over.
   * @returns the program's loopback address with a one-time code, where it has one; otherwise the session is proven
   */
  finish(
    pending: PendingStepUp,
    proof: StepUpProof,
    context: StepUpRequestContext,
  ): Promise<StepUpResult<string | undefined>>;
  /** Proves a browser's own session. Rejects as `finish`. */
  proveOwn(
    own: { readonly session: string; readonly account: string },
    proof: StepUpProof,
    context: StepUpRequestContext,
  ): Promise<StepUpResult<undefined>>;
  /**
   * Ends a step-up without a proof, and lets the program know. Rejects one that is decided already.
   * @param description for the program, in printable ASCII
   * @returns the program's loopback address with the error, where it has one
   */
  refuse(pending: PendingStepUp, description: string): Promise<StepUpResult<string | undefined>>;
  /** Returns why a session can never step up; undefined for one that can. */
  whyNever(session: { readonly provider: string; readonly isDelegated: boolean }): StepUpRejection | undefined;
}
