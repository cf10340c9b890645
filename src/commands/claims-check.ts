/**
 * `config check --claims`: the user that these claims would make, or the rule that rejects them.
 *
 * The claims go through the steps of a sign-in or a token exchange, from the subject to the clusters. Nothing is
 * requested over the network, and nothing is verified: no signature, no audience, no time.
 */
import type { Config, ProviderConfig, WorkloadRule } from '../config/config.ts';
import { plainJson } from '../cli/terminal/plain-text.ts';
import { compileMapping, mapClaims } from '../core/identity/claims.ts';
import { groupsInOneText, oneTextNote } from '../core/identity/claims-parts.ts';
import { type Claims, type IdentityRejection } from '../core/identity/types.ts';
import { AppError } from '../core/errors.ts';
import { accountOf, providerOf, type Account, type Identity } from '../core/identity/identity.ts';
import { no, ok, type Result } from '../core/result.ts';
import { allowed } from '../server/dependencies.ts';
import type { ProviderSignIn } from '../idp/idp.ts';
import { DISABLE_ONE } from '../idp/probe/claims.ts';
import { createEntra } from '../idp/vendors/entra.ts';
import { readsGroups } from '../idp/vendors/groups.ts';
import { OIDC } from '../idp/vendors/vendor.ts';
import { audiences } from '../oauth/audiences.ts';
import { compileRules } from '../oauth/workload/rules.ts';
import { type Role, roleOf } from '../services/admin/admin.ts';

/** More than any provider's response that a sign-in would read. */
const MAX_BYTES = 1024 * 1024;

export type ClaimsVerdict = {
  /** The provider's or the workload rule's name. */
  readonly provider: string;
  readonly type: string;
  /** What a sign-in does in addition, in sentences. */
  readonly notes: readonly string[];
} & (
  | {
      readonly allowed: true;
      readonly account: Account;
      readonly identity: Identity;
      readonly clusters: readonly string[];
      readonly role: Role | 'none';
    }
  | { readonly allowed: false; readonly refusal: Rejection }
);

/** `place` is a path in the configuration, or in the claims where it begins with `claims`. */
type Rejection = Omit<IdentityRejection, 'reason'> & { readonly reason: string };

/**
 * @param input a file or standard input, read to its end
 * @returns the claims, or a message about the error
 */
export async function readClaims(input: AsyncIterable<Uint8Array | string>): Promise<Result<Claims, string>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    if (size > MAX_BYTES) return no(`larger than ${MAX_BYTES} bytes, which no provider’s claims are`);
  }
  const text = Buffer.concat(chunks).toString('utf8').trim();
  // A token is a credential, which an attacker could read from a file or a shell's history, so it is rejected.
  if (/^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)) {
    return no('a token, not claims: give only its payload, which is the decoded middle part (base64url)');
  }
  try {
    const claims: unknown = JSON.parse(text);
    if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) return ok(claims as Claims);
  } catch {
    // The parser's message quotes the text that it could not read.
  }
  return no(
    'not a JSON object of claims, such as {"sub": "4711", "email": "alice@example.com", "email_verified": true}',
  );
}

/**
 * @param name the provider's or the workload rule's; may be left out where there is one provider
 * @returns the verdict, or a message why there is none
 */
export function judgeClaims(config: Config, name: string | undefined, claims: Claims): Result<ClaimsVerdict, string> {
  const [only, ...others] = config.providers;
  const wanted = name ?? (others.length === 0 ? only?.name : undefined);
  const provider = config.providers.findIndex((each) => each.name === wanted);
  if (provider !== -1) return ok(userVerdict(config, provider, claims));
  const rule = config.workload.findIndex((each) => each.name === wanted);
  if (rule !== -1) return ok(workloadVerdict(config, rule, claims));
  const names = [...config.providers, ...config.workload].map((each) => each.name).join(', ');
  return no(name === undefined ? `give --provider, one of: ${names}` : `--provider must be one of: ${names}`);
}

function userVerdict(config: Config, index: number, claims: Claims): ClaimsVerdict {
  const provider = config.providers[index] as ProviderConfig;
  const base = `providers[${index}]`;
  const verdict = { provider: provider.name, type: provider.type, notes: notesOf(provider, claims) };
  const subject = subjectOf(provider, base, claims);
  if (!subject.ok) return rejected(verdict, subject.reason);
  const mapping = compileMapping({ ...provider, maxGroups: config.limits.groups });
  // The configuration has compiled it before, so a failure here is a defect of this program.
  if (!mapping.ok) throw new Error(`${base}: ${JSON.stringify(mapping.reason)}`);
  const account = accountOf(provider.name, subject.value);
  const mapped = mapClaims(mapping.value, claims, account);
  if (!mapped.ok) return rejected(verdict, at(base, mapped.reason));
  const claim = groupsInOneText(mapping.value, claims, mapped.value);
  const notes = claim === undefined ? verdict.notes : [...verdict.notes, oneTextNote(claim, `${base}.groups`)];
  const rights = rightsOf(config, account, mapped.value);
  return { ...verdict, notes, allowed: true, account, identity: mapped.value, ...rights };
}

/** Returns the verdict of a user whom a provider has signed in. */
export function signedInVerdict(
  config: Config,
  { name, type }: ProviderConfig,
  { subject, identity }: Pick<ProviderSignIn, 'subject' | 'identity'>,
): ClaimsVerdict {
  const account = accountOf(name, subject);
  return { provider: name, type, notes: [], allowed: true, account, identity, ...rightsOf(config, account, identity) };
}

/**
 * Returns the verdict of claims for which a sign-in rejected its user: the same steps over the same claims find the place
 * in the configuration, which no user is told.
 * @param reason of that rejection
 * @returns undefined where these claims are not rejected for it
 */
export function rejectedVerdict(
  config: Config,
  { name }: ProviderConfig,
  claims: Claims,
  reason: string,
): ClaimsVerdict | undefined {
  const judged = judgeClaims(config, name, claims);
  if (!judged.ok) return undefined;
  const { value: verdict } = judged;
  return !verdict.allowed && verdict.refusal.reason === reason ? { ...verdict, notes: [] } : undefined;
}

function workloadVerdict(config: Config, index: number, claims: Claims): ClaimsVerdict {
  const rule = config.workload[index] as WorkloadRule;
  const base = `workload[${index}]`;
  const verdict = { provider: rule.name, type: 'workload', notes: [WORKLOAD_NOTE] };
  const subject = named(claims, 'sub');
  if (!subject.ok) return rejected(verdict, subject.reason);
  const issuer = claims['iss'];
  if (issuer !== undefined && issuer !== rule.issuer) {
    const message = 'The token is from another issuer than the one of this rule.';
    return rejected(verdict, { reason: 'issuer_unknown', place: `${base}.issuer`, message });
  }
  const [ready] = compileRules([rule], config.limits.groups, () => () => Promise.reject(new Error('no key is needed')));
  const account = accountOf(rule.name, subject.value);
  const mapped = mapClaims((ready as NonNullable<typeof ready>).mapping, claims, account);
  if (mapped.ok) {
    return { ...verdict, allowed: true, account, identity: mapped.value, ...rightsOf(config, account, mapped.value) };
  }
  const { place } = mapped.reason;
  return rejected(verdict, at(base, { ...mapped.reason, place: place === 'rules[0]' ? 'match' : place }));
}

/** The key is the one of the output for scripts. */
const rejected = (
  verdict: Pick<ClaimsVerdict, 'provider' | 'type' | 'notes'>,
  rejection: Rejection,
): ClaimsVerdict => ({ ...verdict, allowed: false, refusal: rejection });

const at = (base: string, rejection: IdentityRejection): Rejection => ({
  ...rejection,
  place: `${base}.${rejection.place}`,
});

/** Finds the subject as a sign-in of this type does. */
function subjectOf(provider: ProviderConfig, base: string, claims: Claims): Result<string, Rejection> {
  const { type, name, tenant = '' } = provider;
  if (type === 'github') {
    const { id } = claims;
    if (Number.isSafeInteger(id) && Number(id) > 0) return ok(String(id));
    const message = 'GitHub’s API always returns the numeric id of an account.';
    return no({ reason: 'subject_missing', place: 'claims.id', message });
  }
  if (type === 'entra') {
    const graph = 'https://graph.microsoft.com';
    const entra = createEntra({ name, tenant, groupsAs: 'id', wantsGroups: false, maxGroups: 0, graph });
    try {
      return ok(entra.subjectOf(claims));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const place = error.reason === 'oid_missing' ? 'claims.oid' : `${base}.tenant`;
      return no({ reason: error.reason, place, message: error.message });
    }
  }
  const subject = named(claims, 'sub');
  return subject.ok ? ok(OIDC.subjectOf(claims)) : subject;
}

function named(claims: Claims, claim: string): Result<string, Rejection> {
  const value = claims[claim];
  if (typeof value === 'string' && value !== '') return ok(value);
  const message = `An ID token always has ${claim}, as text that is not empty.`;
  return no({ reason: 'subject_missing', place: `claims.${claim}`, message });
}

function rightsOf(config: Config, account: Account, identity: Identity) {
  const holder = { provider: providerOf(account), identity };
  return {
    clusters: audiences(config, allowed(config))
      .clustersOf(holder)
      .map(({ name }) => name),
    role: roleOf({ account, identity }, config) ?? 'none',
  } as const;
}

const WORKLOAD_NOTE =
  'An exchange also verifies the signature, the audience, the times and jti. Of several rules of one issuer, the first with a true match counts.';

/** Returns notes about what only the network can tell. */
function notesOf(provider: ProviderConfig, claims: Claims): readonly string[] {
  const { type, groupsAs = 'id' } = provider;
  const verified = 'A sign-in also verifies the ID token, and adds the claims of the UserInfo endpoint.';
  if (type === 'github') {
    return [
      'A sign-in reads these claims from GitHub’s API, of the configured organizations only, and rejects a user who is in none of them.',
    ];
  }
  // Nothing that is requested at a re-check changes when an account is disabled there, unless the provider rejects
  // the refresh.
  const hasNoRule = provider.rules.length === 0 && provider.userRules.length === 0;
  if (type === 'oidc' && hasNoRule) return [verified, `No rule is set. ${DISABLE_ONE}`];
  if (!readsGroups(provider)) return [verified];
  if (type === 'google' && provider.serviceAccountFile !== undefined) {
    return [verified, 'A sign-in reads claims.groups from the Directory API; here they come from the file.'];
  }
  const overage = claims['_claim_names'] !== undefined || claims['hasgroups'] === true;
  if (type === 'entra' && (groupsAs === 'name' || overage)) {
    return [verified, 'A sign-in reads claims.groups from Microsoft Graph; here they come from the file.'];
  }
  return [verified];
}

/** Formats the verdict as text. A terminal interprets no character of the claims. */
export function formatVerdict(verdict: ClaimsVerdict): string {
  const head = `${verdict.provider} (${verdict.type})`;
  const rows = verdict.allowed ? allowedRows(verdict) : rejectedRows(verdict.refusal);
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  const lines = rows.flatMap(([label, values]) =>
    (values.length === 0 ? ['none'] : values).map(
      (value, index) => `  ${(index === 0 ? label : '').padEnd(width)}${visible(value)}`,
    ),
  );
  return [
    `${head}: ${verdict.allowed ? 'allowed' : 'rejected'}`,
    ...lines,
    ...verdict.notes.map((note) => `note: ${note}`),
  ].join('\n');
}

const visible = (text: string): string => plainJson(text).slice(1, -1).replaceAll('\\"', '"');

type Row = readonly [label: string, values: readonly string[]];

const allowedRows = (verdict: ClaimsVerdict & { readonly allowed: true }): readonly Row[] => [
  ['account', [verdict.account]],
  ['username', [verdict.identity.username]],
  ['uid', [verdict.identity.uid]],
  ['groups', verdict.identity.groups],
  ...Object.entries(verdict.identity.extra).map(([key, values]): Row => [`extra ${key}`, values]),
  ['clusters', verdict.clusters],
  ['role', [verdict.role]],
];

const rejectedRows = ({ reason, place, message, fault: error }: Rejection): readonly Row[] => [
  ['by', [place]],
  ['reason', [reason]],
  ['message', [message]],
  ...(error === undefined ? [] : [['error', [error]] as const]),
];
