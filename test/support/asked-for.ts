/** What a request asks for, as the rules of delegated sessions and of step-up see it. */
import { requestInfo } from '../../src/core/request/request-info.ts';
import { attributesOf, type AskedFor } from '../../src/proxy/admission/request-question.ts';

export function askedFor(method: string, target: string, more: Partial<AskedFor> = {}): AskedFor {
  const info = requestInfo(method, target);
  return {
    cluster: { name: 'prod' },
    info,
    upgrade: false,
    address: '192.0.2.7',
    contentTypes: [],
    impersonated: undefined,
    attributes: attributesOf(info, more.upgrade ?? false),
    ...more,
  };
}
