import { expect, test } from 'vitest';
import {
  clusterDirectory,
  normaliseHost,
  selectCluster,
  type ClusterSelectionInput,
} from '../../../../src/core/request/cluster-selection.ts';

const DIRECTORY = clusterDirectory([
  { name: 'prod', hosts: ['prod.example.com', 'prod-alt.example.com'] },
  { name: 'test', hosts: ['test.example.com', '[::1]'] },
]);

const select = (question: Partial<ClusterSelectionInput>) =>
  selectCluster(DIRECTORY, { hosts: [], target: '/api?x=1', ...question });

test.each([
  ['prod.example.com', 'prod'],
  ['PROD.Example.Com', 'prod'],
  ['prod.example.com:6443', 'prod'],
  ['prod.example.com.', 'prod'],
  ['prod.example.com.:6443', 'prod'],
  ['prod-alt.example.com', 'prod'],
  ['[::1]:6443', 'test'],
])('Host %s chooses %s', (host, cluster) => {
  expect(select({ hosts: [host] })).toEqual({ ok: true, value: { cluster, target: '/api?x=1', prefix: '' } });
});

test.each(['10.0.0.1', '10.0.0.1:6443', '[fd00::1]:6443'])('SNI chooses where Host is the address %s', (host) => {
  expect(select({ hosts: [host], serverName: 'Test.example.com' })).toMatchObject({ value: { cluster: 'test' } });
});

test('SNI chooses where there is no Host', () => {
  expect(select({ serverName: 'prod.example.com' })).toMatchObject({ value: { cluster: 'prod' } });
});

test('SNI does not count where Host is a name', () => {
  expect(select({ hosts: ['api.example.com'], serverName: 'prod.example.com' })).toEqual({
    ok: false,
    reason: 'cluster_unknown',
  });
  expect(select({ hosts: ['prod.example.com'], serverName: 'test.example.com' })).toMatchObject({
    value: { cluster: 'prod' },
  });
});

test.each([
  ['/clusters/prod/api/v1/pods?x=/clusters/test', '/api/v1/pods?x=/clusters/test'],
  ['/clusters/prod', '/'],
  ['/clusters/prod/', '/'],
  ['/clusters/prod?x', '/?x'],
  ['/clusters/prod//api', '//api'],
])('the prefix of %s chooses and is taken off', (target, rest) => {
  expect(select({ hosts: ['api.example.com'], target })).toEqual({
    ok: true,
    value: { cluster: 'prod', target: rest, prefix: '/clusters/prod' },
  });
});

test('a prefix means nothing where the host names a cluster', () => {
  const target = '/clusters/test/api';
  expect(select({ hosts: ['prod.example.com'], target })).toEqual({
    ok: true,
    value: { cluster: 'prod', target, prefix: '' },
  });
  expect(select({ hosts: ['10.0.0.1'], serverName: 'prod.example.com', target })).toMatchObject({
    value: { cluster: 'prod', target },
  });
});

test.each([
  '/api',
  '/clusters',
  '/clusters/',
  '/clusters/none/api',
  '/clusters/PROD/api',
  '/clusters/pro%64/api',
  '/clusters/prod;x/api',
  '/clusters//prod',
  '/x/clusters/prod/api',
  'https://prod.example.com/api',
])('finds no cluster for %s', (target) => {
  expect(select({ hosts: ['api.example.com'], target })).toEqual({ ok: false, reason: 'cluster_unknown' });
});

test.each([
  [['prod.example.com', 'test.example.com']],
  [['prod.example.com', 'prod.example.com:443']],
  [['prod.example.com', '']],
  [['prod.example.com', 'prod.example.com', 'test.example.com']],
])('refuses two hosts that differ: %j', (hosts) => {
  expect(select({ hosts })).toEqual({ ok: false, reason: 'host_conflict' });
});

test('takes the same host twice, as HTTP/2 clients may send it', () => {
  expect(select({ hosts: ['prod.example.com', 'PROD.example.com'] })).toMatchObject({ value: { cluster: 'prod' } });
});

test.each([
  '',
  ' ',
  'prod.example.com:',
  'prod.example.com:x',
  'a@prod.example.com',
  'prod.example.com/x',
  'prod..example.com',
  '.prod.example.com',
  '[::1',
  'prod.example.com,test.example.com',
  'prod.example.com\u0000',
  'pröd',
])('refuses the host %j', (host) => {
  expect(normaliseHost(host)).toBeUndefined();
  expect(select({ hosts: [host], target: '/clusters/prod/api' })).toEqual({ ok: false, reason: 'host_invalid' });
});
