/**
 * Flags of the API server, where its static pods can be seen. On a managed cluster they cannot, and nothing is
 * guessed.
 */
import { accumulateFindings, type Check, type Finding } from '../rules/check.ts';
import { metaOf, recordAt, recordsAt, stringAt, stringsAt, type JsonRecord } from '../rules/json.ts';
import { comment } from '../rules/kubectl.ts';
import type { RuleId } from '../rules/rules.ts';

const MANIFEST = '/etc/kubernetes/manifests/kube-apiserver.yaml';
const HIDDEN = 'the pods of the API server are not visible in kube-system, as on a managed cluster: ask its operator';

export function controlPlane(): Check {
  let seen = 0;
  const findings = accumulateFindings((pod) => {
    const flags = flagsOf(pod);
    if (flags === undefined) return [];
    seen += 1;
    const { name } = metaOf(pod);
    return [...auditFindings(name, flags), ...encryptionFindings(name, flags)];
  });
  const pods = {
    ...findings,
    begin: () => {
      seen = 0;
      findings.begin();
    },
  };
  return {
    collectors: { pods },
    outcome: () =>
      seen > 0
        ? { findings: findings.value }
        : { findings: [], notVisible: { 'api-server-audit': HIDDEN, 'encryption-at-rest': HIDDEN } },
  };
}

/** Returns the names of the flags of an API server; undefined for any other pod. */
function flagsOf(pod: JsonRecord): ReadonlySet<string> | undefined {
  if (metaOf(pod).namespace !== 'kube-system') return undefined;
  const container = recordsAt(recordAt(pod, 'spec'), 'containers').find(
    (one) => stringAt(one, 'name') === 'kube-apiserver',
  );
  if (container === undefined) return undefined;
  const args = [...stringsAt(container, 'command'), ...stringsAt(container, 'args')];
  // `--flag=` without a value is a flag that is not set.
  return new Set(args.flatMap((arg) => (arg.endsWith('=') ? [] : [arg.split('=')[0] ?? ''])));
}

function auditFindings(name: string, flags: ReadonlySet<string>): readonly Finding[] {
  const policy = flags.has('--audit-policy-file');
  const isKept = flags.has('--audit-log-path') || flags.has('--audit-webhook-config-file');
  if (policy && isKept) return [];
  const evidence = policy
    ? 'has an audit policy, but neither --audit-log-path nor --audit-webhook-config-file: no event is stored'
    : 'runs without --audit-policy-file';
  const flag = policy ? '--audit-log-path' : '--audit-policy-file and --audit-log-path';
  return [flagFinding('api-server-audit', name, evidence, flag)];
}

const encryptionFindings = (name: string, flags: ReadonlySet<string>): readonly Finding[] =>
  flags.has('--encryption-provider-config')
    ? []
    : [
        flagFinding(
          'encryption-at-rest',
          name,
          'runs without --encryption-provider-config: Secrets are in etcd unencrypted',
          '--encryption-provider-config',
        ),
      ];

const flagFinding = (rule: RuleId, name: string, evidence: string, flag: string): Finding => ({
  rule,
  namespace: 'kube-system',
  object: `Pod/${name}`,
  evidence,
  fix: [comment(`on that control-plane node: add ${flag} to ${MANIFEST}`)],
});
