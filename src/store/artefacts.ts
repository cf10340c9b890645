/** What is kept for a while on the way to a session, and beside one: codes, cookies, sign-ins under way. */

/**
 * Kinds of short-lived artefacts. All but the last eleven are oidc-provider's own model names; `SignIn` is what must survive a person's
 * trip to the identity provider (state, nonce, PKCE verifier), `BrowserCookie` leads from a cookie to its session; `ConsoleCode` takes
 * a signed-in browser to a console's host once, and `ConsoleCookie` leads from the cookie there to the session. `RevocationAnswer` is what
 * the replica that was asked knows of a revocation, `Approval` a revocation that waits for a second admin, `Drill` what a drill asks for.
 * `DeviceConfirmation` is a browser's page about a device code, `DeviceDecision` that a device code has been decided, once. `EndingReason` is what
 * the user of an ended session is told, `PastCookie` leads from a browser's cookie to the session that it had.
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
  | 'PastCookie';

export type ArtefactPayload = Record<string, unknown>;

export interface SaveArtefact {
  readonly ttlSeconds: number;
  /** Session id (oidc-provider: grant id) that the artefact belongs to: it goes when the session goes. */
  readonly session?: string;
  /** Further names it can be found by. */
  readonly uid?: string;
  readonly userCode?: string;
  /** The site (`siteOf`) of whoever has it written without having signed in. Absent: as it was saved before, or unknown. */
  readonly from?: string;
}

export interface ArtefactStore {
  /**
   * Creates or replaces. `id` is the secret value itself (a code, a refresh token, a state); only its hash is kept. What anyone can have written
   * has a memory budget (`pending.ts`): where that is used up, older ones are gone after this, those of the site first that has the most.
   */
  save(kind: ArtefactKind, id: string, payload: ArtefactPayload, options: SaveArtefact): Promise<void>;
  /** The payload, with `consumed` (epoch seconds) set once it has been consumed; undefined when absent or expired. */
  find(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined>;
  findByUid(kind: ArtefactKind, uid: string): Promise<ArtefactPayload | undefined>;
  findByUserCode(kind: ArtefactKind, userCode: string): Promise<ArtefactPayload | undefined>;
  /** Atomically marks as consumed. Exactly one of any number of racing callers gets true. False when absent or expired. */
  consume(kind: ArtefactKind, id: string): Promise<boolean>;
  /** Atomically reads and deletes: exactly one of any number of racing callers gets the payload. */
  take(kind: ArtefactKind, id: string): Promise<ArtefactPayload | undefined>;
  destroy(kind: ArtefactKind, id: string): Promise<void>;
  /** From now on no artefact is found that was saved with this session id before. What is left of them goes by its own time to live. */
  destroyOfSession(session: string): Promise<void>;
}
