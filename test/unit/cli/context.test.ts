import { describe, expect, test } from 'vitest';
import { ADMIN_PROBLEMS } from '../../../src/core/api/admin-problems.ts';
import { browserCommands, openBrowser } from '../../../src/cli/session/browser.ts';
import { readEnvironment } from '../../../src/cli/environment.ts';
import { exitCodeOf, cliError, errorMessage } from '../../../src/cli/errors.ts';
import { linuxStartTime, parentProcess } from '../../../src/cli/plugin/parent-process.ts';
import { plainJson, plainText } from '../../../src/cli/terminal/plain-text.ts';
import { isClusterName, openableUrl, parseServer } from '../../../src/cli/http/server-url.ts';
import { createSpinner } from '../../../src/cli/terminal/spinner.ts';
import { table } from '../../../src/cli/terminal/table.ts';

describe('the browser', () => {
  const url = new URL('https://a.example.com/oauth?x=1&y=$(id)');
  const byWindows = ['url.dll,FileProtocolHandler', url.href];
  test.each([
    { platform: 'linux', commands: [['xdg-open', url.href]] },
    { platform: 'darwin', commands: [['open', url.href]] },
    {
      platform: 'win32',
      systemRoot: String.raw`D:\Windows`,
      commands: [[String.raw`D:\Windows\System32\rundll32.exe`, ...byWindows]],
    },
    {
      platform: 'linux',
      wsl: true,
      commands: [
        ['wslview', url.href],
        ['rundll32.exe', ...byWindows],
        ['xdg-open', url.href],
      ],
    },
    { platform: 'linux', browser: 'firefox', commands: [['firefox', url.href]] },
    { platform: 'linux', wsl: true, browser: 'firefox', commands: [['firefox', url.href]] },
    { platform: 'linux', browser: 'chromium --new-window', commands: [['chromium', '--new-window', url.href]] },
    { platform: 'linux', browser: 'mine --url=%s -x', commands: [['mine', `--url=${url.href}`, '-x']] },
    {
      platform: 'linux',
      browser: 'a %s:b -n: :',
      commands: [
        ['a', url.href],
        ['b', '-n', url.href],
      ],
    },
    { platform: 'win32', browser: 'C:\\b.exe', commands: [['C:\\b.exe', url.href]] },
    { platform: 'linux', browser: ' : ', commands: [['xdg-open', url.href]] },
  ] as const)('$platform, wsl $wsl, BROWSER=$browser: is run without a shell', ({ platform, commands, ...given }) => {
    const found = browserCommands(url, { platform, wsl: 'wsl' in given, ...given });
    expect(found.map(({ file, args }) => [file, ...args])).toEqual(commands);
  });

  test.each([
    'file:///etc/passwd',
    'javascript:alert(1)',
    'http://a.example.com/',
    'ms-msdt:/id',
    'http://localhost.evil.example.com/',
    'https://user:secret@a.example.com/',
  ])('is never sent to %s', (address) => {
    expect(() => browserCommands(new URL(address), { platform: 'linux', wsl: false })).toThrow(
      expect.objectContaining({ code: 'forbidden' }),
    );
  });

  test.skipIf(process.platform === 'win32')(
    'is the next of the list where one is not there, and none of them is reported',
    async () => {
      const why = new Promise((resolve) => {
        openBrowser(
          [
            { file: '/nonexistent/one', args: [] },
            { file: 'sh', args: ['-c', 'exit 3'] },
            { file: '/nonexistent/three', args: [] },
          ],
          resolve,
        );
      });
      expect(await why).toBe('/nonexistent/three cannot be started');
    },
  );
});

describe('a sign of life', () => {
  const terminal = (isTTY: boolean, depth = 8) => {
    const written: string[] = [];
    const write = (text: string): boolean => written.push(text) > 0;
    return { written, stream: { isTTY, getColorDepth: () => depth, write: write } };
  };

  test('turns on a terminal, makes way for a line, and is gone in the end', () => {
    const { written, stream } = terminal(true);
    const spinner = createSpinner(stream);
    const stop = spinner.start('waiting');
    spinner.write('a line\n');
    stop();
    stop();
    const erase = '\r\u001b[K';
    const [first, line, second, ...rest] = written;
    expect([first, line, second]).toEqual([`${erase}/ waiting`, `${erase}a line\n`, `${erase}- waiting`]);
    expect(rest).toEqual([erase]);
  });

  test.each([
    { name: 'a pipe', isTTY: false, depth: 8 },
    { name: 'a terminal that cannot rewrite a line', isTTY: true, depth: 1 },
  ])('is nothing on $name', ({ isTTY, depth }) => {
    const { written, stream } = terminal(isTTY, depth);
    const spinner = createSpinner(stream);
    const stop = spinner.start('waiting');
    spinner.write('a line\n');
    stop();
    expect(written).toEqual(['a line\n']);
  });
});

describe('addresses', () => {
  test.each([
    ['https://a.example.com', 'https://a.example.com'],
    ['https://A.example.com:8443/', 'https://a.example.com:8443'],
    ['https://a.example.com/base//', 'https://a.example.com/base'],
    ['a.example.com', 'https://a.example.com'],
    ['A.example.com:8443/base/', 'https://a.example.com:8443/base'],
    ['localhost:7444', 'https://localhost:7444'],
    ['[::1]:7444', 'https://[::1]:7444'],
    ['http://localhost:7444', 'http://localhost:7444'],
    ['http://127.0.0.1:7444/', 'http://127.0.0.1:7444'],
    ['http://[::1]:7444/', 'http://[::1]:7444'],
  ])('%s is the server %s', (text, server) => {
    expect(parseServer(text)).toBe(server);
  });

  test.each([
    ['http://a.example.com:8443/base/', 'https://a.example.com:8443/base'],
    ['ftp://a.example.com', 'https://a.example.com'],
    ['https://a.example.com/?x', 'https://a.example.com'],
    ['https://a.example.com/#x', 'https://a.example.com'],
    ['a.example.com?token=x', 'https://a.example.com'],
    ['https://u:p@a.example.com', 'https://a.example.com'],
    ['u:p@a.example.com', 'https://a.example.com'],
    ['https://u:p@ssw0rd@a.example.com', 'https://portcullis.example.com'],
    ['https://abc/secret@a.example.com', 'https://portcullis.example.com'],
    ['s3cr3t/x@a.example.com', 'https://portcullis.example.com'],
    ['http://localhost:7444/?x', 'http://localhost:7444'],
    ['http://127.0.0.1.example.com', 'https://127.0.0.1.example.com'],
    ['', 'https://portcullis.example.com'],
    ['javascript:alert(1)', 'https://portcullis.example.com'],
    ['a.example.com; id', 'https://portcullis.example.com'],
    ['https://$(id).example.com', 'https://portcullis.example.com'],
    ["https://a.example.com/';id", 'https://portcullis.example.com'],
    ['https://a.example.com/`id`', 'https://portcullis.example.com'],
  ])('%s is no server, and %s is the nearest one', (text, nearest) => {
    const message = expect.stringMatching(/ {2}Next: give --server \S+$/) as string;
    expect(() => parseServer(text)).toThrow(expect.objectContaining({ code: 'bad_request', message }));
    expect(() => parseServer(text)).toThrow(`--server ${nearest}`);
  });

  test('what is no text is not opened', () => {
    expect(openableUrl(7)).toBeUndefined();
    expect(openableUrl(undefined)).toBeUndefined();
  });

  test.each([
    ['prod', true],
    ['eu-west.1', true],
    ['', false],
    ['--all', false],
    ['a/b', false],
    ['..', false],
    ['a\nb', false],
    ['a b', false],
  ])('cluster name %j: %s', (name, good) => {
    expect(isClusterName(name)).toBe(good);
  });
});

describe('the environment', () => {
  test.each([
    { env: { PORTCULLIS_CACHE_DIR: '/c', XDG_CACHE_HOME: '/x' }, platform: 'linux', dir: '/c' },
    { env: { XDG_CACHE_HOME: '/x' }, platform: 'linux', dir: '/x/portcullis' },
    { env: { XDG_CACHE_HOME: 'x' }, platform: 'linux', dir: '/home/a/.cache/portcullis' },
    { env: { XDG_CACHE_HOME: '' }, platform: 'linux', dir: '/home/a/.cache/portcullis' },
    {
      env: { LOCALAPPDATA: String.raw`C:\Users\a\AppData\Local`, XDG_CACHE_HOME: '/x' },
      platform: 'win32',
      dir: String.raw`C:\Users\a\AppData\Local\portcullis`,
    },
  ] as const)('$env keeps the cache in $dir', ({ env, platform, dir }) => {
    expect(readEnvironment(env, platform, '/home/a').cacheDir).toBe(dir);
  });

  test.each([
    [undefined, false],
    ['', false],
    ['0', false],
    ['false', false],
    ['1', true],
    ['yes', true],
  ])('PORTCULLIS_NO_BROWSER=%s forbids a browser: %s', (value, forbids) => {
    const env = value === undefined ? {} : { PORTCULLIS_NO_BROWSER: value };
    expect(readEnvironment(env, 'linux', '/home/a').noBrowser).toBe(forbids);
  });

  test.each([
    ['over SSH', { SSH_CONNECTION: '203.0.113.7 50000 203.0.113.8 22' }, true],
    ['at the machine itself', {}, false],
    ['over SSH with an X display', { SSH_CONNECTION: '1 2 3 4', DISPLAY: 'localhost:10.0' }, false],
    ['over SSH with a Wayland display', { SSH_CONNECTION: '1 2 3 4', WAYLAND_DISPLAY: 'wayland-0' }, false],
    ['over SSH with a browser named', { SSH_CONNECTION: '1 2 3 4', BROWSER: 'my-browser' }, false],
    ['over SSH with empty variables', { SSH_CONNECTION: '1 2 3 4', DISPLAY: '', BROWSER: ' ' }, true],
  ])('a browser that opened here would be seen by no user, %s: %s', (_where, env, remote) => {
    expect(readEnvironment(env, 'linux', '/home/a').remote).toBe(remote);
  });

  test('the kubeconfigs are those of KUBECONFIG, or kubectl’s own', () => {
    expect(readEnvironment({ KUBECONFIG: ':/a:/b' }, 'linux', '/home/a').kubeconfigs).toEqual(['/a', '/b']);
    expect(readEnvironment({}, 'linux', '/home/a').kubeconfigs).toEqual(['/home/a/.kube/config']);
  });
});

describe('the parent process', () => {
  const fields = Array.from({ length: 50 }, (_, index) => String(index + 4)).join(' ');
  test('is told by its start time, whatever its name is', () => {
    expect(linuxStartTime(`12 (kubectl) S ${fields}`)).toBe('22');
    expect(linuxStartTime(`12 (a) S 1 (b c) S ${fields}`)).toBe('22');
    expect(linuxStartTime('')).toBeUndefined();
  });

  test('has an id that is stable, and is a file name', () => {
    expect(parentProcess()).toBe(parentProcess());
    expect(parentProcess()).toMatch(/^\d+-\w+$/);
    expect(parentProcess(999_999_999)).toBe('999999999-unknown');
  });
});

describe('text from a server', () => {
  test.each([
    ['a\u001b[31mb', 'a [31mb'],
    ['a\r\nb\tc', 'a b c'],
    ['a\u009b2Jb', 'a 2Jb'],
    ['admin\u202enimda', 'admin nimda'],
    ['a\u{e0041}b', 'a b'],
    ['Zoë 東京', 'Zoë 東京'],
  ])('%j becomes %j', (text, plain) => {
    expect(plainText(text)).toBe(plain);
  });

  test('are cut where they are too long', () => {
    expect(plainText('x'.repeat(600))).toHaveLength(500);
  });

  test('stay data in JSON, with nothing that a terminal obeys', () => {
    const value = { name: 'a\u001b[31m\u009b\u202e\u{e0041}b' };
    const text = plainJson(value);
    expect(JSON.parse(text)).toEqual(value);
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test('do not break a table', () => {
    expect(table(['A', 'B'], [['long\nname', 'x']])).toBe('A           B\nlong name   x\n');
  });
});

test.each([
  ['bad_request', 2],
  ['forbidden', 3],
  ['sign_in_refused', 3],
  ['unauthenticated', 1],
  ['upstream_unavailable', 1],
  ['conflict', 1],
] as const)('%s exits %i', (code, exit) => {
  expect(exitCodeOf(cliError(code, 'x'))).toBe(exit);
});

test('a target that does not exist exits 4 where the admin API says so, and not where a proxy in front of it does', () => {
  const codes = Object.keys(ADMIN_PROBLEMS).filter((code) => code.endsWith('_not_found'));
  const exits = (reason: string): number => exitCodeOf(cliError('not_found', 'x', 'y', { reason }));
  expect(codes).toContain('session_not_found');
  expect(codes.map(exits)).toEqual(codes.map(() => 4));
  expect(['not_found', 'route_not_found', 'admin_request_failed'].map(exits)).toEqual([1, 1, 1]);
});

test('an error says what happened and the next command; one that was not foreseen says one line of its own', () => {
  expect(errorMessage(cliError('forbidden', 'No.', 'ask'))).toBe('No.\n  Next: ask');
  expect(errorMessage(new Error('a\nb'))).toMatch(/^a b\n {2}Next: [^\n]+$/);
  expect(errorMessage(cliError('forbidden', 'a\u001b[2Jb', 'c'))).toBe('a [2Jb\n  Next: c');
  expect(exitCodeOf(new Error('x'))).toBe(1);
});
