/** Request targets: a target that two parsers could read as two paths is rejected, and the rest arrives byte for byte. */
import { AUTH, get, passed, PODS, refused, tooLarge, unparsed } from '../attack.ts';
import type { Attack } from '../attack.ts';

const target = (name: string, value: string, reason: string): Attack => refused(name, get(value), 400, reason);
const same = (name: string, value: string): Attack => passed(name, get(value), `GET ${value}`);
const PROXY = `${PODS}/web/proxy`;

const SEGMENTS: readonly Attack[] = [
  target('dot segments', `${PODS}/../../secrets`, 'dot_segment'),
  target('a dot segment at the end', `${PODS}/..`, 'dot_segment'),
  target('a dot segment before the query', `${PODS}/..?x`, 'dot_segment'),
  target('a single dot', '/api/./v1/pods', 'dot_segment'),
  target('dots alone', '/..', 'dot_segment'),
  target('dot segments behind the prefix of a cluster', '/clusters/prod/../../api', 'dot_segment'),
  target('dot segments below …/proxy/', `${PROXY}/../../secrets`, 'dot_segment'),
  target('an empty segment', '//api/v1/pods', 'empty_segment'),
  target('a host in front of the path', '//169.254.169.254/latest', 'empty_segment'),
  target('an empty segment in the middle', '/api//v1/pods', 'empty_segment'),
  target('an empty segment at the end', `${PODS}//`, 'empty_segment'),
  target('an empty segment before …/proxy/', '/api/v1//namespaces/default/pods/web/proxy/x', 'empty_segment'),
  target('an empty segment below a resource that is called proxy', '/api/v1/proxy//x', 'empty_segment'),
  same('an empty segment below …/proxy/ is the application’s own', `${PROXY}//a`),
  same('three dots are a name', `${PODS}/...`),
  same('dots with a parameter are a name to Kubernetes', '/api/v1/..;/pods'),
  same('a path parameter', '/api/v1/pods;a=b'),
  same('a trailing slash', `${PODS}/`),
];

const ENCODINGS: readonly Attack[] = [
  target('encoded dots', `${PODS}/%2e%2e/secrets`, 'encoded_dot'),
  target('half encoded dots', `${PODS}/.%2E/secrets`, 'encoded_dot'),
  target('encoded dots below …/proxy/', `${PROXY}/%2e%2e/secrets`, 'encoded_dot'),
  target('an encoded slash', '/api/v1/namespaces/default%2Fpods', 'encoded_slash'),
  target('an encoded slash below …/proxy/', `${PROXY}/a%2fb`, 'encoded_slash'),
  target('an encoded backslash', '/api/v1/namespaces%5C..%5Cpods', 'encoded_backslash'),
  target('a backslash', String.raw`/api/v1\..\secrets`, 'backslash'),
  target('a backslash in the query', String.raw`/api/v1/pods?a=\..\b`, 'backslash'),
  target('an encoded NUL', '/api/v1/pods%00', 'encoded_control'),
  target('an encoded newline', '/api/v1/pods%0d%0aX:1', 'encoded_control'),
  target('an encoded DEL', '/api/v1/pods%7F', 'encoded_control'),
  target('a broken escape', '/api/v1/pods%zz', 'bad_percent_encoding'),
  target('an escape that ends early', '/api/v1/pods%2', 'bad_percent_encoding'),
  target('a lone percent sign', '/api/v1/pods%', 'bad_percent_encoding'),
  target('an escape as IIS has it', '/api/v1/%u002e%u002e/secrets', 'bad_percent_encoding'),
  target('an overlong slash', '/api/v1/namespaces%c0%afpods', 'bad_percent_encoding'),
  target('bytes that are no UTF-8', '/api/v1/pods/%ff', 'bad_percent_encoding'),
  same('dots encoded twice are no dots', '/api/v1/%252e%252e/pods'),
  same('a slash encoded twice is no slash', `${PODS}/a%252fb`),
  same('a name beyond ASCII, encoded', `${PODS}/caf%C3%A9`),
];

const FORMS: readonly Attack[] = [
  target('absolute form', `https://HOST${PODS}`, 'absolute_form'),
  target('absolute form in capitals', `HTTPS://HOST${PODS}`, 'absolute_form'),
  target('absolute form of another host', 'https://169.254.169.254/latest', 'absolute_form'),
  target('absolute form towards our own endpoints', 'https://HOST/-/oauth/token', 'absolute_form'),
  target('asterisk form', '*', 'asterisk_form'),
  refused('asterisk form with OPTIONS', `OPTIONS * HTTP/1.1\n${AUTH}\n`, 400, 'asterisk_form'),
  unparsed('the authority-form of a target', get('HOST:443')),
  unparsed('a path without its slash', get('api/v1/pods')),
  target('a fragment', '/api/v1/pods#/secrets', 'fragment'),
  target('a fragment in the query', '/api/v1/pods?a#b', 'fragment'),
  target('a quote', '/api/v1/pods"', 'forbidden_character'),
  target('angle brackets in the query', '/api/v1/pods?a=<script>', 'forbidden_character'),
  unparsed('bytes beyond ASCII', get('/api/v1/pods/\u00c3\u00a9')),
  unparsed('a tab', get('/api/v1/pods\t')),
  unparsed('a space', get('/api/v1/pods /x')),
  unparsed('a NUL', get('/api/v1/pods\u0000')),
  tooLarge('a target beyond the limit', get(`/${'a'.repeat(20_000)}`)),
  same('a long target within the limit', `${PODS}?labelSelector=${'a'.repeat(8000)}`),
];

const QUERIES: readonly Attack[] = [
  target('a broken escape in the query', `${PODS}?a=%zz`, 'bad_percent_encoding'),
  same('slashes and dots in the query are data', `${PODS}?a=/../b//c`),
  same('encoded slashes, dots and NULs in the query are data', `${PODS}?command=%2Fbin%2Fsh&a=%2e%2e%00`),
  target('more parameters than Go parses', `${PODS}?watch=1${'&'.repeat(10_000)}`, 'too_many_parameters'),
  same('a second question mark', `${PODS}??watch=0`),
  same('a semicolon is no separator', `${PODS}?watch=0;watch=1`),
  same('an empty query', `${PODS}?`),
  same('a parameter twice', `${PODS}?limit=1&limit=2`),
  same('a query that looks like a request', `${PODS}?a=%0d%0aImpersonate-User:root`),
];

const OWN_PATHS: readonly Attack[] = [
  same('our own endpoints spelt differently are the cluster’s paths', '/%2d/oauth/token'),
  same('our own endpoints in the query are nothing', `${PODS}?/-/oauth/token`),
];

export const TARGETS = { SEGMENTS, ENCODINGS, FORMS, QUERIES, OWN_PATHS };
