import { describe, expect, test } from 'vitest';
import { adminReturnPath } from '../../../../src/web/sign-in/admin-path.ts';

describe('a page to come back to', () => {
  test.each([
    ['/admin', '/admin'],
    ['/admin?cursor=abc', '/admin?cursor=abc'],
    ['/admin/revoke?kind=account&value=corp%2Falice&lock=on', '/admin/revoke?kind=account&value=corp%2Falice&lock=on'],
    ['/admin/revoke?kind=account&value=corp/alice', '/admin/revoke?kind=account&value=corp%2Falice'],
    ['/admin/accounts/corp%2Falice', '/admin/accounts/corp%2Falice'],
    ['/admin/accounts/corp%2falice%40example.com', '/admin/accounts/corp%2Falice%40example.com'],
    ['/admin/revoke?next=https://evil.example', '/admin/revoke?next=https%3A%2F%2Fevil.example'],
    ['/admin/revoke?value=a%0D%0AX-Evil:1', '/admin/revoke?value=a%0D%0AX-Evil%3A1'],
    ['/admin/drill?a=1?b=2', '/admin/drill?a=1%3Fb%3D2'],
  ])('%j is rebuilt as %j', (to, built) => {
    expect(adminReturnPath(to)).toBe(built);
    // What it leads to is ours wherever it is read.
    expect(new URL(built, 'https://portcullis.example').href).toBe(`https://portcullis.example${built}`);
  });

  test.each([
    '//evil',
    '///evil',
    '/\\evil',
    '\\\\evil',
    'https://evil.example/admin',
    'HTTPS:/admin',
    'javascript:alert(1)',
    'data:text/html,x',
    'admin',
    '',
    '/',
    '/me',
    '/login/fresh?to=/admin',
    '/administrator',
    '/admin.evil.example',
    '/admin@evil.example',
    '/admin:80',
    '/admin//evil',
    '/admin/',
    '/admin/../login',
    '/admin/./x',
    '/admin/..',
    '/admin/%2e%2e/login',
    '/admin/%2E%2E%2Flogin',
    '/admin/x%2F..%2F..%2Flogin',
    '/admin%2f..%2flogin',
    '/admin/%2f%2fevil',
    '/admin/a%2F%2Fevil',
    '/admin/%5cevil',
    '/admin/\\evil',
    '/admin/%',
    '/admin/%zz',
    '/admin/%ff',
    '/admin/%00',
    '/admin/%0d%0aLocation:evil',
    '/admin/%E2%80%AEx',
    '%2f%2fevil',
    '/%2fevil',
    '/admin\r\nLocation: https://evil.example',
    '/ad\tmin',
    ' /admin',
    '/admin ',
    '/admin#x',
    '/admin?x#https://evil.example',
    '/Admin',
    '/admin/api/v1/sessions',
    '/admin/api',
    '/ädmin',
    `/admin?${'x'.repeat(10_240)}`,
    ['/admin'],
    { 0: '/admin' },
    undefined,
    null,
    7,
  ])('%j is none', (to) => {
    expect(adminReturnPath(to)).toBeUndefined();
  });
});
