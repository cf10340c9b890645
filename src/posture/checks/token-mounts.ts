/**
 * Pods that hold a token of an account without any rights: an attacker who takes over the pod gets a credential,
 * and the pod does not need it.
 */
import { accumulate, type Check, type Finding } from '../rules/check.ts';
import { metaOf, recordAt, recordsAt, stringAt, type JsonRecord } from '../rules/json.ts';
import { comment, jsonArgument, kubectl } from '../rules/kubectl.ts';

/** Pods of one account. */
interface Mounted {
  count: number;
  readonly examples: string[];
  /** Some pods request the token themselves, which the account cannot change. */
  explicit: boolean;
}

const EXAMPLES = 3;
const MIRROR = 'kubernetes.io/config.mirror';

/**
 * @param isBound whether any binding names the account, or a group that it is in; called once every binding was
 *   read
 */
export function tokenMounts(isBound: (namespace: string, name: string) => boolean): Check {
  /** Accounts that disable the mount. */
  const serviceaccounts = accumulate(
    () => new Set<string>(),
    (off, account) => {
      const { namespace, name } = metaOf(account);
      if (account['automountServiceAccountToken'] === false) off.add(`${namespace}/${name}`);
    },
  );
  const pods = accumulate(
    () => new Map<string, Mounted>(),
    (accounts, pod) => note(accounts, serviceaccounts.value, pod),
  );
  return {
    collectors: { serviceaccounts, pods },
    outcome: () => ({
      findings: [...pods.value].flatMap(([key, mounted]) => {
        const [namespace = '', name = ''] = key.split('/');
        return isBound(namespace, name) ? [] : [findingOf(namespace, name, mounted)];
      }),
    }),
  };
}

function note(accounts: Map<string, Mounted>, off: ReadonlySet<string>, pod: JsonRecord): void {
  const { name, namespace, annotations } = metaOf(pod);
  const spec = recordAt(pod, 'spec');
  // The mirror of a static pod has no account; a pod that has ended runs nothing.
  if (stringAt(annotations, MIRROR) !== '') return;
  if (['Succeeded', 'Failed'].includes(stringAt(recordAt(pod, 'status'), 'phase'))) return;
  const key = `${namespace}/${stringAt(spec, 'serviceAccountName') || 'default'}`;
  const automount = spec['automountServiceAccountToken'];
  const volume = holdsToken(spec);
  if (automount === false || (automount !== true && off.has(key) && !volume)) return;
  const known = accounts.get(key) ?? { count: 0, examples: [], explicit: false };
  accounts.set(key, known);
  known.count += 1;
  if (automount === true) known.explicit = true;
  if (known.examples.length < EXAMPLES) known.examples.push(name);
}

/**
 * Returns true where the API server has mounted the token: also for a pod that started before its account disabled
 * it.
 */
const holdsToken = (spec: JsonRecord): boolean =>
  recordsAt(spec, 'volumes').some(
    (volume) =>
      stringAt(volume, 'name').startsWith('kube-api-access-') &&
      recordsAt(recordAt(volume, 'projected'), 'sources').some((source) => 'serviceAccountToken' in source),
  );

function findingOf(namespace: string, name: string, { count, examples, explicit }: Mounted): Finding {
  const more = count > examples.length ? ` and ${count - examples.length} more` : '';
  const pods = `${examples.map((pod) => `Pod/${pod}`).join(', ')}${more}`;
  const patch = jsonArgument({ automountServiceAccountToken: false });
  return {
    rule: 'token-mounted',
    namespace,
    object: `ServiceAccount/${name}`,
    evidence: `no binding gives it any right, and its token is mounted into ${pods}`,
    fix: [
      kubectl('patch', `serviceaccount/${name}`, '-n', namespace, '-p', patch),
      ...(explicit
        ? [
            comment(
              'some of its pods request the token themselves: set automountServiceAccountToken: false in their templates',
            ),
          ]
        : []),
      comment('then restart its pods: running pods keep the token'),
    ],
  };
}
