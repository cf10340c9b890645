/**
 * Roles and bindings: service accounts that can do too much, users who bypass Portcullis, rights of anonymous
 * clients, and rights of the proxy itself.
 */
import { accumulate, type Check, type Finding, type Accumulator, type Settings } from '../rules/check.ts';
import { metaOf, recordAt, stringAt, type JsonRecord } from '../rules/json.ts';
import { factsByName, factsOf, subjectsOf, type Binding, type RoleFacts } from '../rules/rights.ts';
import { givenBy, subjectRemoval } from '../rules/subject-removal.ts';
import { allAccountsOf, isAccount, isAnonymous, isAuthenticated, type Bound } from './bound-subjects.ts';
import { accountFindings } from './rights-accounts.ts';
import { includesProxy, legacyFindings, proxyAccountFindings } from './rights-proxy.ts';
import { userFindings } from './rights-users.ts';

interface FromBindings {
  readonly findings: Finding[];
  /** `namespace/name` of accounts with a binding; `namespace/*` and `*` where a group of all of them has one. */
  readonly accounts: Set<string>;
  /** A binding names the proxy's account. */
  proxySeen: boolean;
  /** A binding gives the proxy's account constrained rights. */
  proxyConstrained: boolean;
  /** Its legacy rights, which count if it has constrained ones. */
  readonly legacy: Finding[];
}

export interface RightsCheck {
  readonly check: Check;
  /** Returns whether a binding names the account, or a group of accounts that it is in. */
  readonly boundAccounts: (namespace: string, name: string) => boolean;
}

export function rightsCheck(settings: Settings): RightsCheck {
  const clusterroles = accumulate(() => new Map<string, RoleFacts>(), noteRole);
  const roles = accumulate(() => new Map<string, RoleFacts>(), noteRole);
  const factsFor = ({ namespace, role }: Binding): RoleFacts =>
    (role.kind === 'Role' ? roles.value.get(`${namespace}/${role.name}`) : clusterroles.value.get(`/${role.name}`)) ??
    factsByName(role.kind, role.name);
  const bindings = (): Accumulator<FromBindings> =>
    accumulate(
      () => ({ findings: [], accounts: new Set<string>(), proxySeen: false, proxyConstrained: false, legacy: [] }),
      (state, object) => {
        const binding = bindingOf(object);
        noteBinding(state, { binding, facts: factsFor(binding), settings });
      },
    );
  const [clusterrolebindings, rolebindings] = [bindings(), bindings()];
  const both = [clusterrolebindings, rolebindings];
  return {
    check: {
      collectors: { clusterroles, roles, clusterrolebindings, rolebindings },
      outcome: () => ({
        findings: [
          ...both.flatMap(({ value }) => value.findings),
          ...(both.some(({ value }) => value.proxyConstrained) ? both.flatMap(({ value }) => value.legacy) : []),
        ],
        needsOption: missingOptions(settings, both),
      }),
    },
    boundAccounts: (namespace, name) =>
      both.some(({ value: { accounts } }) =>
        ['*', `${namespace}/*`, `${namespace}/${name}`].some((one) => accounts.has(one)),
      ),
  };
}

function noteRole(facts: Map<string, RoleFacts>, role: JsonRecord): void {
  const { name, namespace } = metaOf(role);
  facts.set(`${namespace}/${name}`, factsOf(role, namespace));
}

function bindingOf(object: JsonRecord): Binding {
  const { name, namespace } = metaOf(object);
  const role = recordAt(object, 'roleRef');
  return {
    kind: namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding',
    namespace,
    name,
    role: { kind: stringAt(role, 'kind'), name: stringAt(role, 'name') },
    subjects: subjectsOf(object),
  };
}

function noteBinding(state: FromBindings, bound: Bound): void {
  const { binding, settings } = bound;
  state.findings.push(...binding.subjects.flatMap((_, index) => judge(bound, index)));
  for (const subject of binding.subjects) {
    if (subject.kind === 'ServiceAccount') state.accounts.add(`${subject.namespace}/${subject.name}`);
    const all = isAuthenticated(subject) ? '' : allAccountsOf(subject);
    if (all !== undefined && !isForEveryUser(binding)) state.accounts.add(all === '' ? '*' : `${all}/*`);
  }
  const { facts } = bound;
  state.legacy.push(...binding.subjects.flatMap((_, index) => legacyFindings(bound, index)));
  state.proxyConstrained ||=
    facts.constrainedImpersonation && binding.subjects.some((subject) => includesProxy(settings, subject));
  state.proxySeen ||= binding.subjects.some((subject) => isAccount(settings.proxyAccount, subject));
}

/** Roles that every cluster gives to all accounts, or to every authenticated client. */
const FOR_EVERY_USER = new Set([
  'system:basic-user',
  'system:discovery',
  'system:public-info-viewer',
  'system:service-account-issuer-discovery',
]);

/** Returns true for rights for which a pod needs no token of its own. */
const isForEveryUser = ({ role, subjects }: Binding): boolean =>
  (role.kind === 'ClusterRole' && FOR_EVERY_USER.has(role.name)) || subjects.some(isAnonymous);

const judge = (bound: Bound, index: number): readonly Finding[] => [
  ...accountFindings(bound, index),
  ...userFindings(bound, index),
  ...anonymousFindings(bound, index),
  ...proxyAccountFindings(bound, index),
];

function missingOptions({ prefixes, proxyAccount }: Settings, both: readonly Accumulator<FromBindings>[]) {
  const noPrefix = 'the prefix of the names of Portcullis’ users is unknown, because yours have none: give --prefix';
  const { namespace, name } = proxyAccount;
  return {
    ...(prefixes.length > 0 ? {} : { 'admin-bypasses-proxy': noPrefix, 'user-bypasses-proxy': noPrefix }),
    ...(both.some(({ value }) => value.proxySeen)
      ? {}
      : { 'proxy-account': `no binding names ServiceAccount ${namespace}/${name}: give --proxy-account` }),
  };
}

/** Reports the rights of a client without any credential. */
function anonymousFindings({ binding, facts }: Bound, index: number): readonly Finding[] {
  const subject = binding.subjects[index];
  if (subject === undefined || !isAnonymous(subject) || facts.open) return [];
  return [
    {
      rule: 'anonymous-access',
      namespace: binding.namespace,
      object: `${subject.kind}/${subject.name}`,
      evidence: `${givenBy(binding)}: more than health and version, which anonymous clients may read by default`,
      fix: [subjectRemoval(binding, index)],
    },
  ];
}
