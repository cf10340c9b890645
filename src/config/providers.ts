/**
 * Identity providers (`providers`): the settings of one, and checks of several settings together: what its type
 * (`core/identity/provider-types.ts`) allows and requires, how it authenticates us, whether its expressions compile.
 */
import * as z from 'zod';
import { defined } from '../core/defined.ts';
import { compileMapping } from '../core/identity/claims.ts';
import {
  PROVIDER_TYPES,
  PROVIDERS,
  type ProviderFacts,
  type ProviderType,
  VENDOR_HOSTS,
} from '../core/identity/provider-types.ts';
import type { ClaimsProvider } from '../core/identity/types.ts';
import { checkClientAuth, CLIENT_AUTH_METHODS } from './client-auth.ts';
import { isMapping, items, textAt, valueAt, type Path, type ValidationErrors } from './document.ts';
import { proxied } from './outbound.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { expression, host, issuerUrl, label, prefix, tenantId, text, withPrefixes } from './values.ts';

/** The settings that only a provider of type github has. */
const LOGIN = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,99})$/;
const EXPECTED = 'a list of at least one organisation, each by its login or its id (a number), or "*"';

const githubOrganizations = z.union(
  [
    z.literal('*'),
    z
      .array(z.union([z.string().regex(LOGIN), z.int().positive()]))
      .min(1)
      .max(100),
  ],
  { error: EXPECTED },
);

const githubHost = z
  .string({ error: 'a host name' })
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:[1-9]\d{0,4})?$/, {
    error: 'the lower-case host name of an Enterprise server or a ghe.com tenant, such as github.example.com',
  });

/** Settings of other types that would have no effect here. */
const FOREIGN = ['scopes', 'hosts', 'emailVerified', 'clientKeyFile', 'clientCertFile'];

/** Reads the document itself, so that an error elsewhere in a provider hides none of these. */
function checkGithub(provider: Readonly<Record<string, unknown>>, base: Path, errors: ValidationErrors): void {
  // An attacker makes an account at github.com, which is open to anyone. So the organisations must be named there.
  if (
    provider['organizations'] === undefined &&
    (textAt(provider, 'host') ?? VENDOR_HOSTS.github) === VENDOR_HOSTS.github
  ) {
    const expected = `the organisations whose members may sign in, or "*" (any account on ${VENDOR_HOSTS.github}, set explicitly)`;
    errors.add([...base, 'organizations'], expected);
  }
  for (const key of FOREIGN) {
    if (provider[key] !== undefined) errors.add([...base, key], 'nothing: type github has no use for it');
  }
}

const FRESHNESS_SETTINGS = ['auto', 'login', 'max_age', 'none'] as const;

const logoutBy = ({ sendsLogoutTokens }: ProviderFacts) =>
  sendsLogoutTokens ? ('session' as const) : ('off' as const);

const and = (names: readonly string[]): string => names.join(', ').replace(/, ([^,]*)$/, ' and $1');

/** Returns a default for docs/reference/configuration.md: that of most types, then each that other types have. */
const byType = (shown: (facts: ProviderFacts) => string): string =>
  [...Map.groupBy(PROVIDER_TYPES, (type) => shown(PROVIDERS[type]))]
    .map(([value, types], index) => (index === 0 ? `\`${value}\`` : `${and(types)}: \`${value}\``))
    .join('; ');

const ofOwnIssuer = PROVIDER_TYPES.filter((type) => PROVIDERS[type].issuer !== undefined).map((type) => `\`${type}\``);

const rulesOver = (variable: string) =>
  list(
    section({
      expression: expression.meta({ text: `Over \`${variable}\`; must yield \`true\`.` }),
      message: text('a message for the user: what is wrong, and what to do next').meta({
        text: 'The message on the page that rejects the sign-in.',
      }),
    }),
    'rules',
  ).default([]);

export const provider = section({
  name: label.meta({ text: 'Used in accounts, URLs and metrics; never change it once users have signed in.' }),
  type: z
    .enum(PROVIDER_TYPES, { error: `one of ${PROVIDER_TYPES.join(', ')}` })
    .default('oidc')
    .meta({ text: '[Providers](../providers) lists the scopes and the default username of each type.' }),
  issuer: issuerUrl
    .exactOptional()
    .meta({ text: `Needed, except that ${and(ofOwnIssuer)} have their own.`, default: 'by type' }),
  tenant: tenantId
    .exactOptional()
    .meta({ text: 'Of type entra alone. Needed; no user of another tenant is admitted.' }),
  groupsAs: z.enum(['id', 'name'], { error: 'id (object ids, which no one can choose) or name' }).exactOptional().meta({
    text: 'Of type entra alone. `id`: object ids. `name`: display names, which anyone who may create groups can choose.',
    default: '`id`',
  }),
  serviceAccountFile: file('secret').exactOptional().meta({
    text: 'Of type google alone: the key of a service account that may ask the Directory API for groups. With `impersonatedAdmin`, or neither; without them no user has groups.',
  }),
  impersonatedAdmin: text('the e-mail address of an administrator, in whose name the Directory API is asked')
    .exactOptional()
    .meta({
      text: 'Of type google alone: the administrator in whose name it reads groups. With `serviceAccountFile`, or neither.',
    }),
  organizations: githubOrganizations.exactOptional().meta({
    text: 'Of type github alone, and required at github.com: whose members may sign in. `"*"` is any account.',
  }),
  host: githubHost
    .exactOptional()
    .meta({ text: 'Of type github alone: an Enterprise server, or a tenant of ghe.com.', default: '`github.com`' }),
  clientId: text('the client id that the provider gave out').meta({
    text: 'The application’s client id at the provider.',
  }),
  clientAuth: z
    .enum(CLIENT_AUTH_METHODS, { error: `one of ${CLIENT_AUTH_METHODS.join(', ')}` })
    .exactOptional()
    .meta({
      text: 'How Portcullis authenticates at the provider. `basic` and `post`: by the secret, in the header or in the form. `private_key_jwt`: by an assertion that `clientKeyFile` signs. `tls_client_auth`: by a client certificate. `none`: a public client, with PKCE. No other method is tried than the one that is set. Without it the secret is sent in the header and, where the provider rejects that and lists `client_secret_post`, in the form. [More](../providers/oidc.md#how-the-provider-knows-portcullis).',
      default: 'by the secret, as the provider takes it; without one as `none`',
    }),
  clientSecretFile: file('secret').exactOptional().meta({ text: 'Without it Portcullis is a public client.' }),
  clientKeyFile: file('secret').exactOptional().meta({
    text: 'The private key for `private_key_jwt` (PEM or a JWK: EC on P-256, Ed25519, or RSA of 2048 bits or more) and `tls_client_auth` (PEM). Read again when it changes.',
  }),
  clientCertFile: file().exactOptional().meta({
    text: 'The client certificate for `tls_client_auth`, with its chain, in PEM. With `private_key_jwt` optional: the assertion then names it (`x5t#S256`), which Entra requires. Read again when it changes.',
  }),
  caFile: file().exactOptional().meta({
    text: 'The CAs that verify the provider, in PEM; without it the system’s CAs. Read again when it changes.',
  }),
  ...proxied(
    'The proxy of this provider alone, for all of its hosts: exceptions from the proxy do not count for it. `none`: the provider is reached directly.',
    '`NAME:PASSWORD` for that proxy, which gets no others. Read again when it changes.',
  ),
  hosts: list(host, 'host names')
    .default([])
    .meta({ text: 'Hosts beside the issuer’s that its discovery document may name.' }),
  scopes: list(z.string({ error: 'a scope' }).regex(/^[!#-[\]-~]+$/, { error: 'a scope (RFC 6749 §3.3)' }), 'scopes')
    .refine((scopes) => scopes.includes('openid'), { error: 'a list of scopes with openid among them' })
    .exactOptional()
    .meta({
      text: 'The scopes of the authorization request. Without it: `openid`, `profile`, `email`, and of `groups` and `offline_access` what the provider’s discovery lists. Without a refresh token, which `offline_access` asks for, no user can be re-checked and a session lasts an hour.',
      default: 'by the provider’s discovery',
    }),
  usernamePrefix: prefix.exactOptional().meta({
    text: 'The prefix of each username. Empty only where an empty text is set; then there is a warning.',
    default: 'the name and a colon',
  }),
  groupsPrefix: prefix.exactOptional().meta({
    text: 'The prefix of each group. Empty only where an empty text is set; then there is a warning.',
    default: 'the name and a colon',
  }),
  username: expression.exactOptional().meta({
    text: 'Over claims: the username without its prefix ([claims](../claims.md)).',
    default: byType(({ username }) => username),
  }),
  groups: expression.exactOptional().meta({
    text: 'Over claims: the groups without their prefix.',
    default: 'oidc: none; google: the Directory API’s, where it is set; others: `claims.groups`',
  }),
  uid: expression
    .exactOptional()
    .meta({ text: 'Over claims: the uid in the cluster.', default: 'the account, PROVIDER/SUBJECT' }),
  extra: z
    .record(z.string(), expression, { error: 'a mapping from keys to CEL expressions' })
    .default({})
    .meta({ text: 'Lower-case keys, not under portcullis.dev, kubernetes.io or k8s.io.' }),
  emailVerified: z.enum(['claim', 'trusted'], { error: 'claim or trusted' }).default('claim').meta({
    text: '`claim`: a name that is an e-mail address needs `email_verified: true`. `trusted`: the provider verifies each address but has no such claim.',
  }),
  freshness: z
    .enum(FRESHNESS_SETTINGS, { error: `one of ${FRESHNESS_SETTINGS.join(', ')}` })
    .exactOptional()
    .meta({
      text: 'How the provider is asked to have a user authenticate again, which is checked by `auth_time` in the ID token. `auto`: with `prompt=login` and `max_age`, then `prompt=login` alone, then `max_age` alone. `login` and `max_age`: by that method only. `none`: it proves nothing, as types google and github. [More](../providers/oidc.md#how-a-fresh-sign-in-is-asked-for).',
      default: byType(({ provesFreshness }) => (provesFreshness ? 'auto' : 'none')),
    }),
  backchannelLogout: z
    .enum(['session', 'account', 'off'], {
      error: 'session (what was opened in the session that ended there), account (everything of the user) or off',
    })
    .exactOptional()
    .meta({
      text: 'What ends here when a user signs out at the provider, which posts its logout tokens to `/backchannel-logout/NAME`. `session`: what was opened in that session there. `account`: everything of the user.',
      default: byType(logoutBy),
    }),
  rules: rulesOver('claims').meta({
    text: 'Over claims. Each must be true; the first that is not rejects the sign-in with its message.',
  }),
  userRules: rulesOver('user').meta({
    text: 'The same over the mapped user: `user.username`, `user.uid`, `user.groups`, `user.extra`.',
  }),
}).transform((given) => {
  const facts = PROVIDERS[given.type];
  return {
    ...given,
    issuer: given.issuer ?? facts.issuer?.(given) ?? '',
    username: given.username ?? facts.username,
    freshness: facts.provesFreshness ? (given.freshness ?? 'auto') : ('none' as const),
    backchannelLogout: given.backchannelLogout ?? logoutBy(facts),
    ...withPrefixes(given),
    ...defined({ groups: given.groups ?? facts.groups(given) }),
  };
});

/** Settings in a pair: one without the other has no effect. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['serviceAccountFile', 'impersonatedAdmin'],
  ['impersonatedAdmin', 'serviceAccountFile'],
];

/** @param freshness as set; a type that proves nothing does so whatever is set */
export const provesFreshness = (type: ProviderType, freshness?: string): boolean =>
  PROVIDERS[type].provesFreshness && freshness !== 'none';

export function checkProvider(provider: unknown, base: Path, errors: ValidationErrors): void {
  checkType(provider, base, errors);
  checkClientAuth(provider, base, errors);
  checkExpressions(provider, base, errors);
}

/** Reads the document itself, so that an error elsewhere in a provider hides none of these. */
function checkType(provider: unknown, base: Path, errors: ValidationErrors): void {
  if (!isMapping(provider)) return;
  const named = provider['type'] ?? 'oidc';
  const type = PROVIDER_TYPES.find((known) => known === named);
  if (type === undefined) return;
  const facts = PROVIDERS[type];
  const issuer = valueAt(provider, ['issuer']);
  if (facts.issuer === undefined && issuer === undefined) {
    errors.add([...base, 'issuer'], 'the issuer’s https URL, exactly as its discovery document says it');
  }
  // An attacker who may choose the issuer under a vendor's name would make that vendor's checks worthless, so the
  // issuer is fixed.
  if (facts.issuer !== undefined && issuer !== undefined) {
    errors.add([...base, 'issuer'], `nothing: type ${type} has its own`);
  }
  if (facts.issuer !== undefined && items(provider, 'hosts').length > 0) {
    errors.add([...base, 'hosts'], `nothing: the hosts of type ${type} are fixed`);
  }
  for (const key of facts.needed) {
    if (provider[key] === undefined) errors.add([...base, key], `a value, because type is ${type}`);
  }
  for (const other of PROVIDER_TYPES) {
    const foreign = PROVIDERS[other].own.filter((key) => !facts.own.includes(key) && provider[key] !== undefined);
    for (const key of foreign) errors.add([...base, key], `nothing: it is for type ${other}, and this one is ${type}`);
  }
  if (!facts.sendsLogoutTokens && (provider['backchannelLogout'] ?? 'off') !== 'off') {
    errors.add([...base, 'backchannelLogout'], `off, because type ${type} does not say when a user signs out there`);
  }
  if (!facts.provesFreshness && (provider['freshness'] ?? 'none') !== 'none') {
    errors.add([...base, 'freshness'], `none, or nothing: type ${type} does not say when a user signed in`);
  }
  if (type === 'github') checkGithub(provider, base, errors);
  for (const [key, partner] of PAIRS) {
    if (provider[key] !== undefined && provider[partner] === undefined && facts.own.includes(partner)) {
      errors.add([...base, partner], `a value, because ${key} is set`);
    }
  }
}

function checkExpressions(provider: unknown, base: Path, errors: ValidationErrors): void {
  const compiled = compileMapping(expressionsOf(provider));
  if (compiled.ok) return;
  for (const { place, message } of compiled.reason) {
    errors.add([...base, ...steps(place)], `a CEL expression that compiles: ${message}`);
  }
}

/**
 * Returns as much of a provider as is needed to compile its expressions. What is missing or of a wrong type
 * becomes one that compiles.
 */
function expressionsOf(provider: unknown): ClaimsProvider {
  const rules = (key: string): ClaimsProvider['rules'] =>
    items(provider, key).map((rule) => ({ expression: textAt(rule, 'expression') ?? 'true', message: '' }));
  const extra = valueAt(provider, ['extra']);
  const groups = textAt(provider, 'groups');
  const uid = textAt(provider, 'uid');
  return {
    name: '',
    usernamePrefix: '',
    groupsPrefix: '',
    username: textAt(provider, 'username') ?? 'claims.email',
    ...defined({ groups, uid }),
    extra: isMapping(extra)
      ? Object.fromEntries(
          Object.entries(extra).map(([key, source]) => [key, typeof source === 'string' ? source : '""']),
        )
      : {},
    emailVerified: 'claim',
    rules: rules('rules'),
    userRules: rules('userRules'),
  };
}

/** Returns `rules[0].expression` as steps; a key of `extra` may contain dots itself. */
function steps(place: string): Path {
  if (place.startsWith('extra.')) return ['extra', place.slice('extra.'.length)];
  return place.split(/[.[\]]+/).map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}
