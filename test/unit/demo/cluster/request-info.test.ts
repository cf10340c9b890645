import { describe, expect, it } from 'vitest';

import { requestInfo } from '../../../../demo/cluster/request-info.ts';

describe('request info', () => {
  it.each([
    ['GET', '/api/v1/pods', 'list', ['', 'v1', '', 'pods', '', '']],
    ['GET', '/api/v1/namespaces/default/pods?watch=1', 'watch', ['', 'v1', 'default', 'pods', '', '']],
    ['GET', '/api/v1/namespaces/default/pods?watch=FALSE', 'list', ['', 'v1', 'default', 'pods', '', '']],
    ['GET', '/api/v1/namespaces/default/pods?watch=0&watch=1', 'list', ['', 'v1', 'default', 'pods', '', '']],
    ['GET', '/api/v1/namespaces/default/pods?watch=', 'watch', ['', 'v1', 'default', 'pods', '', '']],
    ['GET', '/api/v1/namespaces/default/pods/web-1', 'get', ['', 'v1', 'default', 'pods', '', 'web-1']],
    ['HEAD', '/api/v1/namespaces/default/pods/web-1', 'get', ['', 'v1', 'default', 'pods', '', 'web-1']],
    ['POST', '/api/v1/namespaces/default/pods/web-1/exec', 'create', ['', 'v1', 'default', 'pods', 'exec', 'web-1']],
    ['DELETE', '/api/v1/namespaces/default/pods', 'deletecollection', ['', 'v1', 'default', 'pods', '', '']],
    ['GET', '/api/v1/namespaces/payments', 'get', ['', 'v1', 'payments', 'namespaces', '', 'payments']],
    ['PUT', '/api/v1/namespaces/payments/status', 'update', ['', 'v1', 'payments', 'namespaces', 'status', 'payments']],
    ['GET', '/api/v1/namespaces', 'list', ['', 'v1', '', 'namespaces', '', '']],
    ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dweb-1', 'list', ['', 'v1', '', 'pods', '', 'web-1']],
    ['GET', '/apis/apps/v1/namespaces/x/deployments', 'list', ['apps', 'v1', 'x', 'deployments', '', '']],
    ['GET', '/api/v1/namespaces/a%2Fpods', 'list', ['', 'v1', 'a', 'pods', '', '']],
  ])('%s %s is %s', (method, url, verb, [group, version, namespace, resource, subresource, name]) => {
    expect(requestInfo(method, url)).toMatchObject({
      verb,
      resource: { group, version, namespace, resource, subresource, name },
    });
  });

  it.each(['/', '/api', '/apis', '/api/v1', '/apis/apps', '/apis/apps/v1', '/version', '/apix/v1/pods'])(
    '%s is no resource',
    (url) => {
      expect(requestInfo('GET', url)).toMatchObject({ verb: 'get', path: url });
      expect(requestInfo('GET', url).resource).toBeUndefined();
    },
  );

  it('refuses broken percent-encoding', () => {
    expect(() => requestInfo('GET', '/api/v1/pods/%zz')).toThrow('percent-encoding');
  });
});
