/**
 * ConfigMaps that hold what looks like a credential: anyone who may read ConfigMaps, which is nearly every user,
 * has it.
 *
 * Values are inspected and not kept. A finding names the key and the kind of credential, never the value nor a part
 * of it.
 */
import { accumulateFindings, type Check, type Finding } from '../rules/check.ts';
import { metaOf, recordAt, someOf, stringAt, textsAt, type JsonRecord } from '../rules/json.ts';
import { comment, jsonArgument, kubectl, type FixStep } from '../rules/kubectl.ts';

/**
 * Patterns of values. An attacker controls up to a mebibyte of text, so every repetition has a bound and begins at
 * a fixed text: no value takes longer than its length times that bound.
 */
const VALUES: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['a private key', /-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----/],
  ['a JSON Web Token', /\beyJ[A-Za-z0-9_-]{8,120}\.eyJ[A-Za-z0-9_-]{8,16}/],
  ['an AWS access key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/],
  ['a GitHub token', /\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})/],
  ['a GitLab token', /\bglpat-[A-Za-z0-9_-]{20}/],
  ['a Slack token', /\bxox[abeoprs]-[A-Za-z0-9-]{10}/],
  ['a Google API key', /\bAIza[0-9A-Za-z_-]{35}/],
  ['an address with a password in it', /:\/\/[^\s/:@'"]{0,200}:[^\s/@'"${}<>]{1,200}@/],
];

const NAMES = String.raw`(?:password|passwd|passphrase|secret|secret[-_.]?key|api[-_.]?key|access[-_.]?key|private[-_.]?key|auth[-_.]?token|access[-_.]?token|api[-_.]?token|bearer[-_.]?token|credentials?)`;

/**
 * The last part of a key's name. `password-policy`, `secretName` and `token-url` are about a credential, and are
 * none.
 */
const KEY = new RegExp(String.raw`(?:^|[-_.])(?:${NAMES}|token)$`, 'i');
const CAMEL_CASE_KEY = /[a-z](?:Password|Passphrase|Secret|SecretKey|ApiKey|AccessKey|PrivateKey|Token|Credentials)$/;
/** Names that are often written without a separator. */
const JOINED_KEY = /[a-z](?:password|passwd)$/i;

/** A setting in a file: `db.password=…`, `password: …`. `isCredential` checks its value. */
const SETTING = new RegExp(String.raw`(${NAMES})["']?[ \t]{0,8}[:=][ \t]{0,8}["']?([^\s"',;{}<>()$]{1,200})`, 'gi');

/** Values that stand in place of a credential. */
const PLACEHOLDER =
  /^(?:true|false|null|none|yes|no|on|off|enabled|disabled|required|optional|changeme|redacted|x+|\*+)$|[${}<>()]|^%|^[./~]|:\/\/|^file:|^env:|^vault:/i;

const SHORTEST = 6;
const SHOWN = 5;
/** Keys that one command can remove. */
const MOST_KEYS = 50;

/** The annotation in which `kubectl apply` keeps the whole manifest, values included. */
const APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

export function configCredentials(): Check {
  const configmaps = accumulateFindings(findingsOf);
  return { collectors: { configmaps }, outcome: () => ({ findings: configmaps.value }) };
}

function findingsOf(map: JsonRecord): readonly Finding[] {
  const { name, namespace, annotations } = metaOf(map);
  const applied = stringAt(annotations, APPLIED);
  const inData = credentialsIn(map);
  const known = new Set(inData.map(({ key }) => key));
  const inApplied = credentialsIn(parsed(applied)).filter(({ key }) => !known.has(key));
  const descriptions = [
    ...inData.map(({ key, what }) => `key ${key} looks like ${what}`),
    ...inApplied.map(({ key, what }) => `key ${key} of the manifest that was applied last looks like ${what}`),
  ];
  if (descriptions.length === 0) return [];
  const removal = [
    ...inData.map(({ key }) => ({ op: 'remove', path: `/data/${pointer(key)}` })),
    // Otherwise the value would stay there.
    ...(applied === '' ? [] : [{ op: 'remove', path: `/metadata/annotations/${pointer(APPLIED)}` }]),
  ];
  return [
    {
      rule: 'credential-in-configmap',
      namespace,
      object: `ConfigMap/${name}`,
      evidence: `${someOf(descriptions, SHOWN)} (no value is shown)`,
      fix: [
        comment(`many users could read it: have it replaced where it was issued, put the new one into a Secret, then:`),
        ...removalOf(),
      ],
    },
  ];

  function removalOf(): readonly FixStep[] {
    if (map['immutable'] === true)
      return [comment(`it cannot be changed: create ConfigMap/${name} again without them`)];
    if (removal.length > MOST_KEYS)
      return [comment(`create ConfigMap/${name} again without them: there are too many for one command`)];
    return [kubectl('patch', `configmap/${name}`, '-n', namespace, '--type', 'json', '-p', jsonArgument(removal))];
  }
}

interface Credential {
  readonly key: string;
  readonly what: string;
}

const credentialsIn = (map: JsonRecord): readonly Credential[] =>
  textsAt(map, 'data').flatMap(([key, value]) => {
    const what = credentialIn(key, value);
    return what === undefined ? [] : [{ key, what }];
  });

/** Returns the manifest in the annotation; an empty one where it holds none. */
function parsed(manifest: string): JsonRecord {
  try {
    return recordAt({ manifest: JSON.parse(manifest) as unknown }, 'manifest');
  } catch {
    return {};
  }
}

/** JSON Pointer, RFC 6901 §3. */
const pointer = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1');

function credentialIn(key: string, value: string): string | undefined {
  const known = VALUES.find(([, pattern]) => pattern.test(value));
  if (known !== undefined) return known[0];
  const single = value.trim();
  const named = KEY.test(key) || CAMEL_CASE_KEY.test(key) || JOINED_KEY.test(key);
  if (named && !/\s/.test(single) && isCredential(key, single)) return 'a credential by its name';
  for (const [, name = '', setting = ''] of value.matchAll(SETTING)) {
    if (isCredential(name, setting)) return 'a file with a credential in it';
  }
  return undefined;
}

const IS_PASSWORD = /pass(?:word|wd|phrase)$/i;
/** More often the name of a Secret than a credential: `secret: web-tls`, `shop/web-tls`. */
const NAMES_ANOTHER = /^[a-z][a-z./-]*$/;
const NUMBER = /^[\d.]+$/;

function isCredential(name: string, text: string): boolean {
  const bare = text.replace(/^["']|["',;]{1,2}$/g, '');
  if (bare.length < SHORTEST || PLACEHOLDER.test(bare)) return false;
  return IS_PASSWORD.test(name) || !(NAMES_ANOTHER.test(bare) || NUMBER.test(bare));
}
