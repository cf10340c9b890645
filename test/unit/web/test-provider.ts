/** A provider in memory, and the users that it has. */
import { randomBytes } from 'node:crypto';
import { AppError } from '../../../src/core/errors.ts';
import type { IdentityProvider, ProviderSignIn, SignInChallenge } from '../../../src/idp/idp.ts';

export const users: Readonly<Record<string, ProviderSignIn>> = {
  alice: {
    subject: 'sub-alice',
    identity: { username: 'corp:alice@example.com', uid: 'corp/sub-alice', groups: ['corp:developers'], extra: {} },
    refreshToken: 'canary-refresh-token-of-alice',
  },
  root: {
    subject: 'sub-root',
    identity: { username: 'corp:root@example.com', uid: 'corp/sub-root', groups: ['corp:platform'], extra: {} },
    refreshToken: 'canary-refresh-token-of-root',
  },
  /** The same, whom the provider has taken out of the group since. */
  'root, no admin any more': {
    subject: 'sub-root',
    identity: { username: 'corp:root@example.com', uid: 'corp/sub-root', groups: ['corp:developers'], extra: {} },
    refreshToken: 'canary-refresh-token-of-root',
  },
  ann: {
    subject: 'sub-ann',
    identity: { username: 'corp:ann@example.com', uid: 'corp/sub-ann', groups: ['corp:platform'], extra: {} },
    refreshToken: 'canary-refresh-token-of-ann',
  },
  auditor: {
    subject: 'sub-auditor',
    identity: { username: 'corp:eve@example.com', uid: 'corp/sub-auditor', groups: ['corp:security'], extra: {} },
    refreshToken: 'canary-refresh-token-of-eve',
  },
  brief: {
    subject: 'sub-brief',
    identity: { username: 'corp:brief@example.com', uid: 'corp/sub-brief', groups: [], extra: {} },
  },
};

/** By which any provider would know a user. */
export const namesOf = ({ identity }: ProviderSignIn): readonly string[] => [identity.username.replace(/^corp:/, '')];

/** Responds to a callback by its `code`, which is a user's name; rejects and fails like a real provider. */
export class TestProvider implements IdentityProvider {
  readonly name: string;
  provesFreshness: boolean;
  /** When the user authenticated, as the provider states it. */
  authTime: number | undefined;
  down = false;
  /** One for each user who was sent here: whether they had to authenticate again. */
  readonly begun: boolean[] = [];
  readonly finished: { readonly callback: URL; readonly challenge: SignInChallenge }[] = [];
  #beforeAnswer: () => Promise<void> = async () => {};

  constructor(name: string, options: { readonly provesFreshness?: boolean } = {}) {
    this.name = name;
    this.provesFreshness = options.provesFreshness ?? true;
  }

  /** Runs while the user is at the provider's page. */
  meanwhile(happening: () => Promise<void>): void {
    this.#beforeAnswer = happening;
  }

  async begin(
    options: Parameters<IdentityProvider['begin']>[0] = {},
  ): Promise<{ challenge: SignInChallenge; url: URL }> {
    if (this.down) throw new AppError('provider_unavailable', `${this.name} cannot be reached.`);
    this.begun.push(options.fresh === true);
    const random = (): string => randomBytes(16).toString('base64url');
    const challenge: SignInChallenge = {
      state: random(),
      nonce: random(),
      codeVerifier: random(),
      ...(options.fresh === true && this.provesFreshness ? { freshSince: 1 } : {}),
    };
    const url = new URL(`https://idp.example.com/${this.name}/authorize`);
    url.searchParams.set('state', challenge.state);
    return { challenge, url };
  }

  async finish(callback: URL, challenge: SignInChallenge): Promise<ProviderSignIn> {
    this.finished.push({ callback, challenge });
    await this.#beforeAnswer();
    if (this.down) throw new AppError('provider_unavailable', `${this.name} cannot be reached.`);
    if (callback.searchParams.get('state') !== challenge.state) throw new Error('the state was not checked');
    const error = callback.searchParams.get('error');
    if (error !== null) {
      throw new AppError('sign_in_refused', 'You said no at the identity provider.', { reason: error });
    }
    const user = users[callback.searchParams.get('code') ?? ''];
    if (user === undefined) {
      throw new AppError('sign_in_refused', 'Only <b>example.com</b> may sign in.', { reason: 'rule_refused' });
    }
    return { ...user, knownAs: namesOf(user), ...(this.authTime === undefined ? {} : { authTime: this.authTime }) };
  }

  async recheck(): Promise<ProviderSignIn> {
    throw new AppError('provider_unavailable', 'not asked here');
  }
}
