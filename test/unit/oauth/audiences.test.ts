import { describe, expect, it } from 'vitest';
import type { ClusterConfig } from '../../../src/config/config.ts';
import type { Identity } from '../../../src/core/identity.ts';
import { audiences } from '../../../src/oauth/audiences.ts';

const cluster = (name: string): ClusterConfig => ({
  name,
  hosts: [`${name}.example.com`],
  publicUrl: `https://${name}.example.com`,
  server: 'https://10.0.0.1',
  tokenFile: '/token',
  allow: 'true',
  impersonate: { groups: '*', extra: [] },
  serviceAccountPassthrough: false,
});
const person = (...groups: string[]): Identity => ({ username: 'corp:alice', uid: 'corp/1', groups, extra: {} });

describe('audiences', () => {
  const all = audiences(
    { clusters: [cluster('prod'), cluster('lab')], admin: { groups: ['corp:platform'], auditors: ['corp:security'] } },
    (name, { groups }) => name === 'lab' || groups.includes('corp:prod'),
  );

  it('lists every cluster and the admin API', () => {
    expect(all.all).toEqual(['urn:portcullis:cluster:prod', 'urn:portcullis:cluster:lab', 'urn:portcullis:admin']);
  });

  it.each([
    ['urn:portcullis:cluster:lab', person(), true],
    ['urn:portcullis:cluster:prod', person(), false],
    ['urn:portcullis:cluster:prod', person('corp:prod'), true],
    ['urn:portcullis:cluster:other', person('corp:prod'), false],
    ['urn:portcullis:admin', person('corp:prod'), false],
    ['urn:portcullis:admin', person('corp:platform'), true],
    ['urn:portcullis:admin', person('corp:security'), true],
    ['', person('corp:platform'), false],
  ])('for %s and %o: %s', (audience, identity, allowed) => {
    expect(all.allows(audience, identity)).toBe(allowed);
  });

  it('names the clusters of a person', () => {
    expect(all.clustersOf(person()).map(({ name }) => name)).toEqual(['lab']);
    expect(all.clusterOf('urn:portcullis:cluster:prod')?.name).toBe('prod');
    expect(all.clusterOf('urn:portcullis:admin')).toBeUndefined();
  });
});
