/** Artefacts: short-lived values on the way to a session, or next to one: codes, cookies, login transactions. */

/**
 * Kinds of short-lived artefacts. All but the last fourteen are oidc-provider's own model names.
 *
 * - `SignIn`: what must survive a user's redirect to the identity provider (state, nonce, PKCE verifier).
 * - `BrowserCookie`: leads from a cookie to its session.
 * - `ConsoleCode`: takes a signed-in browser to a console's host, once. `ConsoleCookie`: leads from the cookie
 *   there to the session.
 * - `RevocationAnswer`: the receipt of a revocation: its result, as the replica that ran it knows it, and its request.
 * - `Approval`: a revocation that waits for a second admin. `Drill`: the request for a drill.
 * - `DeviceConfirmation`: a browser's page about a device code. `DeviceDecision`: a device code has been decided,
 *   once.
 * - `EndingReason`: the message for the user of an ended session. `PastCookie`: leads from a browser's cookie to
 *   its former session and its account.
 * - `DelegationKey`: the key of a delegated session, which no other one may have.
 * - `StepUp`: a step-up under way. `StepUpCode`: takes what the provider has confirmed from the browser to the program, once.
 */
export type ArtefactKind =
  | 'AccessToken'
  | 'AuthorizationCode'
  | 'BackchannelAuthenticationRequest'
  | 'ClientCredentials'
  | 'DeviceCode'
  | 'Grant'
  | 'InitialAccessToken'
  | 'Interaction'
  | 'PushedAuthorizationRequest'
  | 'RefreshToken'
  | 'RegistrationAccessToken'
  | 'ReplayDetection'
  | 'Session'
  | 'Client'
  | 'SignIn'
  | 'BrowserCookie'
  | 'ConsoleCode'
  | 'ConsoleCookie'
  | 'RevocationAnswer'
  | 'Approval'
  | 'Drill'
  | 'DeviceConfirmation'
  | 'DeviceDecision'
  | 'EndingReason'
  | 'PastCookie'
  | 'DelegationKey'
  | 'StepUp'
  | 'StepUpCode';

export type ArtefactPayload = Record<string, unknown>;

export interface SaveArtefact {
  readonly ttlSeconds: number;
  /**
   * Id of the session (oidc-provider: of the grant) that the artefact belongs to. The artefact is deleted with the
   * session.
   */
  readonly session?: string;
  /** Further names under which it can be found. */
  readonly uid?: string;
  readonly userCode?: string;
  /**
   * The site (`siteOf`) of a client that has not signed in and causes this write. Absent: the same as in the
   * previous save, or unknown.
   */
  readonly from?: string;
}

export interface ArtefactStore {
  /**
   * Creates or replaces an artefact. `id` is the secret value itself (a code, a refresh token, a state); only its
   * hash is stored. Artefacts that unauthenticated clients can create have a memory budget (`pending.ts`). If it
   * is used up, this call deletes older ones, first those of the site that uses most of it.
   */
  save(kind: ArtefactKind, id: string, payload: ArtefactPayload, options: SaveArtefact): Promise<void>;
  /**
   * Returns the payload, with `consumed` (epoch seconds) set once it has been consumed; undefined when absent or
   * expired.
   */
  find(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined>;
  findByUid(kind: ArtefactKind, uid: string): Promise<ArtefactPayload | undefined>;
  findByUserCode(kind: ArtefactKind, userCode: string): Promise<ArtefactPayload | undefined>;
  /**
   * Atomically marks the artefact as consumed. Of any number of concurrent callers, exactly one gets true. False
   * when absent or expired.
   */
  consume(kind: ArtefactKind, id: string): Promise<boolean>;
  /** Atomically reads and deletes the artefact. Of any number of concurrent callers, exactly one gets the payload. */
  take(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined>;
  destroy(kind: ArtefactKind, id: string): Promise<void>;
  /** Makes every artefact of this session unfindable from now on. Redis removes the rest of them by their TTL. */
  destroyOfSession(session: string): Promise<void>;
}
