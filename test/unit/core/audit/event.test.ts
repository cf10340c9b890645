import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { auditUri, portcullisEvent, requestEvent } from '../../../../src/core/audit/event.ts';
import { isCutUri } from '../../../../src/core/audit/uri.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { cpuClock } from '../../../support/cpu-time.ts';

const ALICE = { username: 'corp:alice', uid: 'corp/1', groups: ['corp:dev'], extra: {} };
const AT = Date.UTC(2026, 10, 25, 10, 0, 0, 123);

test('writes a request as Kubernetes does', () => {
  const target = '/apis/apps/v1/namespaces/ns/deployments/d/scale?x=1';
  const event = requestEvent({
    auditId: 'a1',
    stage: 'ResponseComplete',
    requestUri: target,
    info: requestInfo('PATCH', target),
    identity: ALICE,
    sourceIps: ['192.0.2.7'],
    userAgent: 'kubectl/v1.35',
    receivedAt: AT + 0.4567,
    at: AT + 1000,
    status: { code: 403, reason: 'Forbidden', message: 'no' },
    details: { cluster: 'prod', session: 's1', reason: undefined, account: '' },
  });
  expect(event).toEqual({
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: 'a1',
    stage: 'ResponseComplete',
    requestURI: target,
    verb: 'patch',
    user: { username: 'corp:alice', uid: 'corp/1', groups: ['corp:dev'] },
    sourceIPs: ['192.0.2.7'],
    userAgent: 'kubectl/v1.35',
    objectRef: {
      resource: 'deployments',
      namespace: 'ns',
      name: 'd',
      apiGroup: 'apps',
      apiVersion: 'v1',
      subresource: 'scale',
    },
    responseStatus: { metadata: {}, status: 'Failure', message: 'no', reason: 'Forbidden', code: 403 },
    requestReceivedTimestamp: '2026-11-25T10:00:00.123457Z',
    stageTimestamp: '2026-11-25T10:00:01.123000Z',
    annotations: { 'portcullis.dev/cluster': 'prod', 'portcullis.dev/session': 's1' },
  });
});

test('writes the members in the order of Kubernetes, whichever of them there are', () => {
  const target = '/apis/apps/v1/namespaces/ns/deployments/d/scale';
  const identity = { ...ALICE, extra: { 'portcullis.dev/session': ['s1'] } };
  const whole = requestEvent({
    // In another order than it is written.
    details: { session: 's1', cluster: 'prod' },
    status: { message: 'no', reason: 'Forbidden', code: 403 },
    at: AT + 1,
    receivedAt: AT,
    userAgent: 'kubectl',
    sourceIps: ['192.0.2.7'],
    impersonated: { extra: {}, groups: [], uid: '', username: 'bob' },
    identity,
    info: requestInfo('GET', target),
    requestUri: target,
    stage: 'ResponseComplete',
    auditId: 'a1',
  });
  expect(JSON.stringify(whole)).toBe(
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a1","stage":"ResponseComplete",' +
      `"requestURI":"${target}","verb":"get",` +
      '"user":{"username":"corp:alice","uid":"corp/1","groups":["corp:dev"],"extra":{"portcullis.dev/session":["s1"]}},' +
      '"impersonatedUser":{"username":"bob"},"sourceIPs":["192.0.2.7"],"userAgent":"kubectl",' +
      '"objectRef":{"resource":"deployments","namespace":"ns","name":"d","apiGroup":"apps","apiVersion":"v1","subresource":"scale"},' +
      '"responseStatus":{"metadata":{},"status":"Failure","message":"no","reason":"Forbidden","code":403},' +
      '"requestReceivedTimestamp":"2026-11-25T10:00:00.123000Z","stageTimestamp":"2026-11-25T10:00:00.124000Z",' +
      '"annotations":{"portcullis.dev/session":"s1","portcullis.dev/cluster":"prod"}}',
  );
  const event = portcullisEvent({ event: 'logout', code: 200, sourceIps: [], requestUri: '/', at: AT, auditId: 'a1' });
  expect(JSON.stringify(event)).toBe(
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a1","stage":"ResponseComplete",' +
      '"requestURI":"/","verb":"logout","user":{},"sourceIPs":[],"responseStatus":{"metadata":{},"code":200},' +
      '"requestReceivedTimestamp":"2026-11-25T10:00:00.123000Z","stageTimestamp":"2026-11-25T10:00:00.123000Z",' +
      '"annotations":{"portcullis.dev/event":"logout"}}',
  );
});

test('leaves out what is empty', () => {
  const event = requestEvent({
    auditId: 'a1',
    stage: 'ResponseStarted',
    requestUri: '/version',
    info: requestInfo('GET', '/version'),
    sourceIps: [],
    userAgent: '',
    receivedAt: AT,
    at: AT,
  });
  expect(event.user).toEqual({});
  const read: unknown = JSON.parse(JSON.stringify(event));
  for (const key of ['objectRef', 'userAgent', 'responseStatus']) expect(read).not.toHaveProperty(key);
  const list = requestEvent({ ...EMPTY, info: requestInfo('GET', '/api/v1/pods'), requestUri: '/api/v1/pods' });
  expect(list.objectRef).toEqual({ resource: 'pods', apiVersion: 'v1' });
});

const EMPTY = { auditId: 'a', stage: 'ResponseComplete', sourceIps: [], receivedAt: AT, at: AT } as const;

test('cuts an endless user agent and an endless target, and says how long they were', () => {
  const requestUri = `/${'x'.repeat(8999)}`;
  const event = requestEvent({ ...EMPTY, info: requestInfo('GET', '/'), requestUri, userAgent: 'x'.repeat(5000) });
  expect(event.userAgent).toHaveLength(1024 + '...TRUNCATED'.length);
  expect(event.annotations).toEqual({ 'portcullis.dev/cut': 'requestURI=9000 userAgent=5000' });
});

test('writes what Portcullis did in the same envelope, and no detail stands for another event', () => {
  // The compiler refuses these where it sees them.
  const others: object = { event: 'logout', account: 'other/2' };
  const event = portcullisEvent({
    event: 'revocation',
    auditId: 'a1',
    at: AT,
    requestUri: '/-/admin/api/v1/revocations?token=secret',
    sourceIps: ['192.0.2.7'],
    code: 200,
    identity: ALICE,
    account: 'corp/1',
    session: 's1',
    reason: 'INC-1',
    details: { target: 'session', ...others },
  });
  expect(event).toMatchObject({
    verb: 'revocation',
    stage: 'ResponseComplete',
    requestURI: '/-/admin/api/v1/revocations?token=REDACTED',
    responseStatus: { code: 200 },
    annotations: {
      'portcullis.dev/event': 'revocation',
      'portcullis.dev/account': 'corp/1',
      'portcullis.dev/session': 's1',
      'portcullis.dev/reason': 'INC-1',
      'portcullis.dev/target': 'session',
    },
  });
});

describe('the request target in the audit log', () => {
  test.each([
    ['/api/v1/pods?limit=500&continue=abc', '/api/v1/pods?limit=500&continue=abc'],
    ['/x/exec?command=rm&command=-rf&command=%2F&container=c', '/x/exec?command=[3]&container=c'],
    ['/x/exec?container=c&command=sh&stdin=1&command=-c', '/x/exec?container=c&command=[2]&stdin=1'],
    ['/x/exec?comm%61nd=secret', '/x/exec?command=[1]'],
    ['/x/exec?command=[3]&a=1', '/x/exec?command=[3]&a=1'],
    ['/x/exec?command=[3]&command=b', '/x/exec?command=[2]'],
    ['/x/exec?command=a;secret', '/x/exec?command=[1]'],
    ['/api/v1/nodes/n/proxy/run/ns/pod/c?cmd=mysql%20-ps3cret&x=1', '/api/v1/nodes/n/proxy/run/ns/pod/c?cmd=[1]&x=1'],
    ['/n/proxy/run?c%6dd=a&cmd=b&cmd[]=c', '/n/proxy/run?cmd=[3]'],
    ['/n/proxy/run?cmd=[2]&command=a&command=b', '/n/proxy/run?cmd=[2]&command=[2]'],
    ['/x?next=%2Frun%3Fcmd%3Ds3cret', '/x?next=%2Frun%3Fcmd=REDACTED'],
    ['/x?cmdline=a&xcmd=b', '/x?cmdline=a&xcmd=b'],
    ['/x?access_token=s&a=1', '/x?access_token=REDACTED&a=1'],
    ['/x?session=s3cret&a=1', '/x?session=REDACTED&a=1'],
    ['/x?a=1;token=s3cret', '/x?a=1;token=REDACTED'],
    ['/cb?code=s&state=s', '/cb?code=REDACTED&state=REDACTED'],
    ['/x?ACCESS%5FTOKEN=s', '/x?ACCESS%5FTOKEN=REDACTED'],
    ['/x?token[]=s', '/x?token[]=REDACTED'],
    ['/x?db_pass=s&pwd=s&compass=n', '/x?db_pass=REDACTED&pwd=REDACTED&compass=n'],
    ['/x?passphrase=s&private-key=s&auth=s', '/x?passphrase=REDACTED&private-key=REDACTED&auth=REDACTED'],
    ['/x?next=%2Fy%3Ftoken%3Ds3cret', '/x?next=%2Fy%3Ftoken=REDACTED'],
    ['/x?next=%252Fy%253Faccess%255Ftoken%253Ds3cret', '/x?next=%252Fy%253Faccess%255Ftoken=REDACTED'],
    ['/x%3Ftoken=s3cret', '/x%3Ftoken=REDACTED'],
    ['/x;token=s3cret', '/x;token=REDACTED'],
    ['/x#access_token=s', '/x'],
    ['https://user:s3cret@host/x', 'https://host/x'],
    ['//user:s3cret@host/x', '//host/x'],
    ['/x?%2574oken=s3cret&%252574oken=s3cret', '/x?%2574oken=REDACTED&%252574oken=REDACTED'],
    ['/n/proxy/https://u:s3cret@h/x?u=https://u:s3c@ret@h/', '/n/proxy/https://REDACTED@h/x?u=https://REDACTED@h/'],
    ['/x?u=https%3A%2F%2Fu%3As%252Fcret%40h%2F', '/x?u=https%3A%2F%2FREDACTED%40h%2F'],
    ['/x?q={"a":1,"token":"s3cret"}&b=1', '/x?q={"a":1,"token":REDACTED&b=1'],
    ['/x?q=%7B%22pin%22%3A%22s3cret%22%7D', '/x?q=%7B%22pin%22%3AREDACTED'],
    ['/x?q=token:s3cret', '/x?q=token:REDACTED'],
    // What Kubernetes itself has in targets stays readable.
    ['/services/https:token-review:443/proxy/a@b', '/services/https:token-review:443/proxy/a@b'],
    [
      '/x?labelSelector=app%3Dtoken,a&fieldSelector=a.token:b',
      '/x?labelSelector=app%3Dtoken,a&fieldSelector=a.token:b',
    ],
    ['/x?sinceTime=2026-01-01T00:00:00Z&sidecar=a', '/x?sinceTime=2026-01-01T00:00:00Z&sidecar=a'],
    ['/x?token', '/x?token'],
    ['/a\nb\u2028c\u0000 d', '/a%0Ab%E2%80%A8c%00%20d'],
    ['/é', '/%E9'],
    ['', ''],
  ])('%j is %j', (target, expected) => {
    expect(auditUri(target)).toBe(expected);
  });

  const NAMES =
    'access_key account-key passcode totp mfa authkey hmac sid PHPSESSID connect.sid ticket SAMLResponse ' +
    'RelayState pem license seed mnemonic dsn connection_string pat';
  test.each(NAMES.split(' '))('hides the value of %s', (name) => {
    expect(auditUri(`/x?a=1&${name}=s3cret`)).toBe(`/x?a=1&${name}=REDACTED`);
  });

  const PADDING = 'a'.repeat(9000);
  test.each([
    [`?x=${PADDING}&command=sh&command=-c+id`, '?command=sh&command=-c+id&x=aaa'],
    [`?comm%61nd=id&${'&'.repeat(9000)}&%63ommand=-u`, '?comm%61nd=id&%63ommand=-u&&&&'],
    [`?x=${PADDING}&C%4f%6d%4DA%6e%64%5b]=id&%63om`, '?C%4f%6d%4DA%6e%64%5b]=id&x=aaa'],
    [`?${'&'.repeat(1000)}command=id`, '?command=id&&&&', '&&...TRUNCATED'],
    [`/${PADDING}?x&command=id`, '/aaa', '?command=id...TRUNCATED'],
    [`?command=${PADDING}&tty=1&command=id`, '?command=aaa', 'aaa&tty=1&command=id'],
    [`?x=${PADDING}&c%6Dd=sh+-c+id`, '?c%6Dd=sh+-c+id&x=aaa'],
    ['?cmd=a%20--token=s3cret%20id', '?cmd=a%20--token=REDACTED%20id'],
    // Only the word behind a secret's name is hidden: the rest of the command is run too.
    ['?command=a=1;token=s3cret;id&command=--x-token%3Ds3%2Fcret+id', '?command=a=1;token=REDACTED;id', 'REDACTED+id'],
    [`?command=X=token=s3cret%3D%3D%3Bid&x=${PADDING}`, '?command=X=token=REDACTED%3Bid&x=aaa'],
  ])('shows every command of %.40j, whatever else is in it', (target, begin, end = '') => {
    const uri = auditUri(`/exec${target}`, { commands: true });
    expect([uri.slice(0, 5 + begin.length), uri.slice(uri.length - end.length)]).toEqual([`/exec${begin}`, end]);
    expect(uri).not.toContain('s3cret');
    expect(auditUri(uri, { commands: true })).toBe(uri);
    expect(auditUri(`/exec${target}`)).toMatch(/\?(?:.*&)?(?:command|cmd)=\[[12]\](?:&|\.\.\.|$)/);
  });

  // Each of thousands of empty ones took as long as a whole one: 2.5 ms for a target that HTTP/2 repeats by 13 bytes.
  test('has 256 parameters at most, besides commands', () => {
    expect(auditUri(`/x?${'&'.repeat(255)}`)).toBe(`/x?${'&'.repeat(255)}`);
    const target = `/x?${'a=1&'.repeat(900)}`;
    expect(auditUri(target)).toBe(`/x?${'a=1&'.repeat(255)}...TRUNCATED`);
    expect(auditUri(`/x?${'limit=1&'.repeat(257)}`)).toMatch(/TRUNCATED$/);
    expect(isCutUri(target)).toBe(true);
    const commands = `/x?${'command=a&'.repeat(400)}x=1`;
    expect([auditUri(commands, { commands: true }), isCutUri(commands)]).toEqual([commands, false]);
  });

  test('is bounded, also in time', () => {
    const spent = cpuClock();
    expect(auditUri('/?'.repeat(20_000)).length).toBeLessThan(9000);
    expect(spent()).toBeLessThan(1000);
  });

  test('is printable ASCII and shows no secret, whatever comes', () => {
    const noise = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string(),
      fc.constantFrom('&', ';', '?', '%3F', '%26', '=', '#'),
    );
    const name = fc.constantFrom('token', 'access_token', 'id_token', 'client_secret', 'code', 'password', 'command');
    fc.assert(
      fc.property(
        fc.array(noise, { maxLength: 4 }),
        name,
        fc.constantFrom('?', '&', ';'),
        (before, secret, separator) => {
          const uri = auditUri(`/x?a=${before.join('')}${separator}${secret}=S3CRET-VALUE`);
          expect(uri).toMatch(/^[!-~]*$/);
          expect(uri).not.toContain('S3CRET');
          expect(auditUri(uri)).toBe(uri);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
