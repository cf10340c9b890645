/**
 * kubelogin as our servers see it, written after its source (https://github.com/int128/kubelogin, pkg/oidc/client/factory.go, client.go and
 * authcode.go, pkg/usecases/credentialplugin/get_token.go) and that of golang.org/x/oauth2, with `--oidc-use-access-token`: it knows the
 * issuer's URL and its own id and nothing else of Portcullis, and verifies what it gets before it hands it to kubectl.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, jwtVerify, type JSONWebKeySet } from 'jose';
import { request } from 'undici';
import { USERS } from '../../demo/demo.ts';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import type { Answer } from './oauth-client.ts';

export interface KubeloginFlags {
  /** `--oidc-issuer-url` */
  readonly issuerUrl: string;
  /** `--oidc-client-id` */
  readonly clientId: string;
  /** `--oidc-extra-scope` */
  readonly extraScopes?: readonly string[];
  /** Where it listens: 8000, or 18000 where that is taken, or `--listen-address`. */
  readonly port?: number;
  /** `--oidc-auth-request-extra-params`, and what a spoilt one would send; '' leaves a parameter out. */
  readonly extraParams?: Readonly<Record<string, string>>;
}

/** Its token cache: what it writes to disk. */
export interface TokenSet {
  /** The access token, which it hands to kubectl. */
  readonly accessToken: string;
  readonly idToken: string;
  readonly refreshToken: string;
}

interface Discovery {
  readonly issuer: string;
  readonly authorization_endpoint: string;
  readonly token_endpoint: string;
  readonly device_authorization_endpoint?: string;
  readonly jwks_uri: string;
  readonly code_challenge_methods_supported?: readonly string[];
  readonly id_token_signing_alg_values_supported: string[];
}

export interface Authorization {
  readonly page: Visit;
  readonly callback: URL;
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

export class Kubelogin {
  readonly flags: KubeloginFlags;
  readonly redirectUri: string;
  readonly #provider: Discovery;
  readonly #keys: ReturnType<typeof createLocalJWKSet>;

  private constructor(flags: KubeloginFlags, provider: Discovery, keys: JSONWebKeySet) {
    this.flags = flags;
    this.redirectUri = `http://localhost:${flags.port ?? 8000}`;
    this.#provider = provider;
    this.#keys = createLocalJWKSet(keys);
  }

  /** go-oidc's NewProvider: discovery below the issuer's URL, which must name itself so. */
  static async start(flags: KubeloginFlags): Promise<Kubelogin> {
    const provider = await getJson<Discovery>(`${flags.issuerUrl.replace(/\/$/, '')}/.well-known/openid-configuration`);
    if (provider.issuer !== flags.issuerUrl) throw new Error(`oidc: issuer did not match: ${provider.issuer}`);
    return new Kubelogin(flags, provider, await getJson<JSONWebKeySet>(provider.jwks_uri));
  }

  get deviceEndpoint(): string | undefined {
    return this.#provider.device_authorization_endpoint;
  }

  /** The browser, from the authorization request as far as the redirect to kubelogin's own listener. */
  async authorize(user: string): Promise<Authorization> {
    const verifier = randomBytes(32).toString('base64url');
    const state = randomBytes(32).toString('base64url');
    const nonce = randomBytes(32).toString('base64url');
    const s256 = this.#provider.code_challenge_methods_supported?.includes('S256') === true;
    const query = new URLSearchParams({
      client_id: this.flags.clientId,
      redirect_uri: this.redirectUri,
      response_type: 'code',
      scope: [...(this.flags.extraScopes ?? []), 'openid'].join(' '),
      state,
      access_type: 'offline',
      nonce,
      ...(s256
        ? { code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256' }
        : {}),
      ...this.flags.extraParams,
    });
    for (const [name, value] of query) if (value === '') query.delete(name);
    const who = USERS.find(({ name }) => name === user);
    if (who === undefined) throw new Error(`no user is called ${user}`);
    const page = await new Visitor(who, { stopAt: this.redirectUri }).visit(
      `${this.#provider.authorization_endpoint}?${query.toString()}`,
    );
    return { page, callback: new URL(page.url), state, nonce, verifier };
  }

  /** golang.org/x/oauth2 with AuthStyleInParams: no secret, no Authorization header, no client certificate. */
  async token(form: Readonly<Record<string, string>>): Promise<Answer> {
    return this.#post({ client_id: this.flags.clientId, ...form }, {});
  }

  /** What releases before 1.35 try first each time they are started (AuthStyleAutoDetect): the id by HTTP Basic, with an empty password. */
  async tokenByBasic(form: Readonly<Record<string, string>>): Promise<Answer> {
    const basic = Buffer.from(`${this.flags.clientId}:`).toString('base64');
    return this.#post(form, { authorization: `Basic ${basic}` });
  }

  async #post(form: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>>): Promise<Answer> {
    const answer = await request(this.#provider.token_endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(form).toString(),
    });
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: (await answer.body.json()) as Answer['body'],
    };
  }

  redeem(authorization: Authorization): Promise<Answer> {
    return this.token(this.redemption(authorization));
  }

  redemption({ callback, verifier }: Authorization): Readonly<Record<string, string>> {
    return {
      grant_type: 'authorization_code',
      code: callback.searchParams.get('code') ?? '',
      code_verifier: verifier,
      redirect_uri: this.redirectUri,
    };
  }

  ask(refreshToken: string): Promise<Answer> {
    return this.token({ grant_type: 'refresh_token', refresh_token: refreshToken });
  }

  async login(user: string): Promise<TokenSet> {
    const authorization = await this.authorize(user);
    const { callback, state, nonce } = authorization;
    if (callback.searchParams.get('state') !== state) throw new Error(`state does not match: ${callback.href}`);
    return this.verify(await this.redeem(authorization), nonce);
  }

  async refresh({ refreshToken }: TokenSet): Promise<TokenSet> {
    return this.verify(await this.ask(refreshToken), '', refreshToken);
  }

  /** verifyToken of client.go; releases that want the ID token in every response are the strict ones, so this one does. */
  async verify({ status, body }: Answer, nonce: string, oldRefreshToken = ''): Promise<TokenSet> {
    if (status !== 200) throw new Error(`oauth2: cannot fetch token: ${status} ${JSON.stringify(body)}`);
    const accessToken = String(body['access_token']);
    const idToken = body['id_token'];
    if (typeof idToken !== 'string') throw new Error('id_token is missing in the token response');
    const { issuer, id_token_signing_alg_values_supported: algorithms } = this.#provider;
    await jwtVerify(accessToken, this.#keys, { issuer, algorithms, requiredClaims: ['exp'] });
    const { payload } = await jwtVerify(idToken, this.#keys, { issuer, algorithms, audience: this.flags.clientId });
    if (nonce !== '' && payload['nonce'] !== nonce) throw new Error('nonce did not match');
    // get_token.go reads the expiry from the token itself and writes it into the ExecCredential.
    if (decodeJwt(accessToken).exp === undefined) throw new Error('you got an invalid token');
    const refreshToken = typeof body['refresh_token'] === 'string' ? body['refresh_token'] : oldRefreshToken;
    return { accessToken, idToken, refreshToken };
  }
}

async function getJson<T>(url: string): Promise<T> {
  const answer = await request(url);
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} from ${url}`);
  return (await answer.body.json()) as T;
}
