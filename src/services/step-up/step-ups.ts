/** What the pages need of step-ups. */

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
   * @param options.typed the browser has shown that its user typed the code; without it, what has a code is unknown, because a
   *   link must not be enough
   * @throws AppError `sign_in_expired` where it is unknown, decided or too old
   */
  find(id: string, options?: { readonly typed: true }): Promise<PendingStepUp>;
  /** @throws AppError `sign_in_expired` for a code that is unknown, decided or too old */
  findByCode(userCode: string): Promise<PendingStepUp>;
  /**
   * Finishes a step-up, once. Audits what it did, and not what it rejects.
   * @returns the program's loopback address with a one-time code, where it has one; otherwise the session is proven
   * @throws AppError `sign_in_refused` where the account is another one, nothing is proven, or the session has a group that the
   *   user has no more; `sign_in_expired`
   */
  finish(pending: PendingStepUp, proof: StepUpProof, context: StepUpRequestContext): Promise<string | undefined>;
  /** Proves a browser's own session. @throws as `finish` */
  proveOwn(
    own: { readonly session: string; readonly account: string },
    proof: StepUpProof,
    context: StepUpRequestContext,
  ): Promise<void>;
  /**
   * Ends a step-up without a proof, and lets the program know.
   * @param description for the program, in printable ASCII
   * @returns the program's loopback address with the error, where it has one
   * @throws AppError `sign_in_expired` where it is decided already
   */
  refuse(pending: PendingStepUp, description: string): Promise<string | undefined>;
  /** Returns the error for a session that can never step up; undefined for one that can. */
  whyNever(session: { readonly provider: string; readonly isDelegated: boolean }): Error | undefined;
}
