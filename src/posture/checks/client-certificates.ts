/** Client certificates that the cluster has signed: names that the proxy never sees and that nothing revokes. */
import { X509Certificate } from 'node:crypto';
import { accumulateFindings, type Check, type Finding } from '../rules/check.ts';
import { metaOf, recordAt, stringAt, type JsonRecord } from '../rules/json.ts';
import { comment, kubectl } from '../rules/kubectl.ts';

const SIGNER = 'kubernetes.io/kube-apiserver-client';

/** @param now epoch milliseconds */
export function clientCertificates(now: number): Check {
  const certificatesigningrequests = accumulateFindings((request) => findingsOf(request, now));
  return {
    collectors: { certificatesigningrequests },
    outcome: () => ({ findings: certificatesigningrequests.value }),
  };
}

function findingsOf(request: JsonRecord, now: number): readonly Finding[] {
  if (stringAt(recordAt(request, 'spec'), 'signerName') !== SIGNER) return [];
  const issued = stringAt(recordAt(request, 'status'), 'certificate');
  if (issued === '') return [];
  const certificate = parse(issued);
  const until = certificate?.validToDate.getTime() ?? Number.NaN;
  if (until <= now) return [];
  const names = (certificate?.subject ?? '(unreadable)').split('\n').join(', ');
  const end = Number.isNaN(until) ? 'its end' : new Date(until).toISOString().slice(0, 10);
  const { name } = metaOf(request);
  return [
    {
      rule: 'client-certificate',
      namespace: '',
      object: `CertificateSigningRequest/${name}`,
      evidence: `a client certificate for ${names} was signed; it bypasses Portcullis and cannot be revoked before ${end}`,
      fix: [
        comment(
          `remove its names (${names}) from every binding; nothing else ends it before ${end}. These bindings name users and groups:`,
        ),
        kubectl('get', 'clusterrolebindings,rolebindings', '-A', '-o', 'wide'),
      ],
    },
  ];
}

function parse(base64: string): X509Certificate | undefined {
  try {
    return new X509Certificate(Buffer.from(base64, 'base64'));
  } catch {
    return undefined;
  }
}
