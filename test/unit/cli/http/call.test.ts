import { expect, test } from 'vitest';
import { requestOf } from '../../../../src/cli/http/call.ts';
import { ACCESS_API } from '../../../../src/core/api/access-operations.ts';
import { ADMIN_API } from '../../../../src/core/api/admin-operations.ts';

test('an operation is called by the method and path of its row, whatever its parameters contain', () => {
  const account = 'corp/a b?x=1#../all';
  expect(requestOf(ADMIN_API, 'deleteLock', { params: { account }, query: { reason: 'INC-1 & more' } })).toEqual({
    method: 'DELETE',
    path: '/locks/corp%2Fa%20b%3Fx%3D1%23..%2Fall?reason=INC-1+%26+more',
  });
  expect(requestOf(ACCESS_API, 'approveAccess', { params: { id: 'abc' }, json: {} })).toEqual({
    method: 'POST',
    path: '/-/access/abc/approve',
    json: {},
  });
  expect(requestOf(ADMIN_API, 'listSessions', { query: 'limit=200' }).path).toBe('/sessions?limit=200');
  expect(requestOf(ADMIN_API, 'listLocks')).toEqual({ method: 'GET', path: '/locks' });
});

test.each([{}, { account: '' }])(
  'without its parameter %j nothing is sent: the path would name something else',
  (params) => {
    expect(() => requestOf(ADMIN_API, 'deleteLock', { params })).toThrow('deleteLock needs account');
  },
);
