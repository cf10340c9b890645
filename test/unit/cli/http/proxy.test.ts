import { describe, expect, test } from 'vitest';
import { describeSkew, skewOf } from '../../../../src/cli/http/clock-skew.ts';
import { readNetwork } from '../../../../src/cli/environment.ts';
import { proxyFor } from '../../../../src/cli/http/proxy.ts';

test('NO_PROXY is heeded, and so are its rules', () => {
  const target = new URL('https://portcullis.example.com');
  const proxy = 'http://proxy.corp:3128';
  expect(proxyFor(target, { httpsProxy: proxy, noProxy: '.example.com' })).toBeUndefined();
  expect(proxyFor(target, { httpsProxy: proxy, noProxy: '.example.org' })?.href).toBe(`${proxy}/`);
});

describe('HTTPS_PROXY', () => {
  const target = new URL('https://portcullis.example.com');
  test.each([
    { value: 'http://proxy.corp:3128', proxy: 'http://proxy.corp:3128/' },
    { value: 'proxy.corp:3128', proxy: 'http://proxy.corp:3128/' },
    { value: 'user:secret@proxy.corp:3128', proxy: 'http://user:secret@proxy.corp:3128/' },
    { value: 'https://proxy.corp', proxy: 'https://proxy.corp/' },
  ])('$value is the proxy $proxy', ({ value, proxy }) => {
    expect(proxyFor(target, { httpsProxy: value, noProxy: '' })?.href).toBe(proxy);
  });

  test.each([
    'socks5://user:secret@proxy.corp',
    'http://',
    'file:///secret',
    'http://user:p@secret/word@proxy.corp:3128',
    'user:p@secret?@proxy.corp',
    'user:p@secret#@proxy.corp',
  ])('%s is refused without repeating it: it may hold a password', (value) => {
    const use = (): unknown => proxyFor(target, { httpsProxy: value, noProxy: '' });
    expect(use).toThrow(expect.objectContaining({ code: 'bad_request', reason: 'proxy_unusable' }));
    expect(use).not.toThrow(/secret/);
  });

  test('is upper case first, then lower case; an empty one is none', () => {
    expect(readNetwork({ HTTPS_PROXY: 'a', https_proxy: 'b', no_proxy: 'c' }, 'linux')).toMatchObject({
      httpsProxy: 'a',
      noProxy: 'c',
    });
    expect(readNetwork({ HTTPS_PROXY: '', https_proxy: 'b' }, 'linux').httpsProxy).toBe('b');
    expect(readNetwork({ ALL_PROXY: 'x', HTTP_PROXY: 'y' }, 'linux').httpsProxy).toBeUndefined();
  });
});

test('SSL_CERT_DIR is a list, as PATH is', () => {
  expect(readNetwork({ SSL_CERT_DIR: '/a::/b', SSL_CERT_FILE: '/c' }, 'linux')).toMatchObject({
    certFile: '/c',
    certDirs: ['/a', '/b'],
  });
  expect(readNetwork({ SSL_CERT_DIR: 'C:\\a;D:\\b' }, 'win32').certDirs).toEqual(['C:\\a', 'D:\\b']);
});

describe('a clock that is off', () => {
  const now = Date.parse('2026-01-01T12:00:00Z');
  test.each([
    ['Thu, 01 Jan 2026 12:00:59 GMT', ''],
    ['Thu, 01 Jan 2026 11:59:10 GMT', ''],
    ['Thu, 01 Jan 2026 12:12:00 GMT', "this machine's clock is 12 min behind the server's"],
    ['Thu, 01 Jan 2026 11:58:00 GMT', "this machine's clock is 2 min ahead of the server's"],
    ['Wed, 31 Dec 2025 12:00:00 GMT', "this machine's clock is 24 h ahead of the server's"],
  ])('against %s: %j', (date, message) => {
    expect(describeSkew(skewOf(date, now) ?? Number.NaN)).toBe(message);
  });

  test.each([undefined, '', 'yesterday'])('is not told by the date %j', (date) => {
    expect(skewOf(date, now)).toBeUndefined();
  });
});
