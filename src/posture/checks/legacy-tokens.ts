/** Tokens of service accounts that never expire, kept in Secrets. */
import { accumulateFindings, type Check, type Finding } from '../rules/check.ts';
import { metaOf, recordAt, stringAt, type JsonRecord } from '../rules/json.ts';
import { comment, kubectl, type FixStep } from '../rules/kubectl.ts';

const LAST_USED = 'kubernetes.io/legacy-token-last-used';
const INVALID_SINCE = 'kubernetes.io/legacy-token-invalid-since';

/** Reads Secrets of type kubernetes.io/service-account-token, and only their metadata. */
export function legacyTokens(): Check {
  const secrets = accumulateFindings((secret) => [findingOf(secret)]);
  return { collectors: { secrets }, outcome: () => ({ findings: secrets.value }) };
}

function findingOf(secret: JsonRecord): Finding {
  const { name, namespace, labels, annotations } = metaOf(secret);
  const account = accountName(stringAt(annotations, 'kubernetes.io/service-account.name'));
  const made = stringAt(recordAt(secret, 'metadata'), 'creationTimestamp').slice(0, 10);
  const invalid = stringAt(labels, INVALID_SINCE);
  const used = stringAt(labels, LAST_USED);
  const parts = [
    `a token of ServiceAccount/${account || '(unknown)'} that never expires`,
    ...(made === '' ? [] : [`made ${made}`]),
    used === '' ? 'no recorded use' : `last used ${used}`,
    ...(invalid === '' ? [] : [`invalid since ${invalid}`]),
  ];
  return {
    rule: 'legacy-token',
    namespace,
    object: `Secret/${name}`,
    evidence: parts.join(', '),
    fix: [
      ...(account === '' ? [] : replacement(namespace, account)),
      kubectl('delete', `secret/${name}`, '-n', namespace),
    ],
  };
}

/**
 * The annotation is untrusted, and in a command it is an argument of its own: a text that is no name of an account
 * counts as none.
 */
const accountName = (text: string): string => (/^[a-z0-9][a-z0-9.-]{0,252}$/.test(text) ? text : '');

/**
 * Returns the replacement of the Secret: for a pod, a projected volume that the kubelet renews; for anything else,
 * a token for each run.
 */
const replacement = (namespace: string, account: string): readonly FixStep[] => [
  comment(
    `for a pod: a volume {projected: {sources: [{serviceAccountToken: {path: token, expirationSeconds: 3600}}]}}, serviceAccountName: ${account}`,
  ),
  comment('for anything else, for each run:'),
  kubectl('create', 'token', account, '-n', namespace, '--duration', '1h'),
];
