import { describe, expect, it } from 'vitest';
import type { ClusterConfig, Config, WorkloadRule } from '../../../src/config/config.ts';
import type { Delegation } from '../../../src/core/delegation/delegation.ts';
import { audiences, type Holder } from '../../../src/oauth/audiences.ts';

const cluster = (name: string): ClusterConfig => ({
  name,
  hosts: [`${name}.example.com`],
  publicUrl: `https://${name}.example.com`,
  server: 'https://10.0.0.1',
  tokenFile: '/token',
  allow: 'true',
  impersonate: { groups: '*', extra: [], constrained: 'off' },
  serviceAccountPassthrough: false,
});
const holder = (provider: string, groups: readonly string[]): Holder => ({
  provider,
  identity: { username: 'corp:alice', uid: 'corp/1', groups, extra: {} },
});
const user = (...groups: string[]): Holder => holder('corp', groups);
const rule = (name: string, clusters: readonly string[], role: WorkloadRule['role']): WorkloadRule => ({
  name,
  issuer: 'https://issuer.example.com',
  hosts: [],
  match: 'true',
  username: 'claims.sub',
  usernamePrefix: `${name}:`,
  groupsPrefix: `${name}:`,
  clusters,
  life: 900,
  role,
});

/** A delegated session of that user, for one cluster. */
const delegated = (...groups: string[]): Holder => ({
  ...user(...groups),
  delegation: { ancestors: ['own'], actors: [{ name: 'claude' }], clusters: ['lab'], limits: [] },
});

const MCP = 'https://mcp.example.com/mcp';
const delegation: Config['delegation'] = {
  enabled: true,
  most: 'rules',
  lifetime: 3600,
  perSession: 20,
  clientMetadata: { hosts: [] },
  clients: [
    {
      id: 'mcp',
      resource: MCP,
      limit: { preset: 'read-only' },
      clusters: ['prod'],
      lifetime: 900,
      binding: 'certificate',
    },
  ],
};

/** A delegated session in which these act. */
const by = (...actors: Delegation['actors']): Holder => ({
  ...user(),
  delegation: { ancestors: ['own'], actors, clusters: ['lab'], limits: [] },
});

const admin: Config['admin'] = {
  groups: ['corp:platform'],
  auditors: ['corp:security'],
  freshness: 900,
  dualControl: 'off',
};

describe('audiences', () => {
  const all = audiences(
    {
      clusters: [cluster('prod'), cluster('lab')],
      admin,
      workload: [rule('ci', ['prod'], 'none'), rule('probe', [], 'drill'), rule('siem', [], 'revoker')],
      delegation,
    },
    (name, { groups }) => name === 'lab' || groups.includes('corp:prod'),
  );

  it('lists every cluster, the admin API, that for one’s own sessions, and those of registered clients', () => {
    expect(all.all).toEqual([
      'urn:portcullis:cluster:prod',
      'urn:portcullis:cluster:lab',
      'urn:portcullis:admin',
      'urn:portcullis:self',
      MCP,
    ]);
  });

  it.each([
    ['urn:portcullis:cluster:lab', user(), true],
    ['urn:portcullis:cluster:prod', user(), false],
    ['urn:portcullis:cluster:prod', user('corp:prod'), true],
    ['urn:portcullis:cluster:other', user('corp:prod'), false],
    // Of a registered client: anyone who may use one of its clusters.
    [MCP, user('corp:prod'), true],
    [MCP, user(), false],
    [MCP, holder('ci', ['corp:prod']), false],
    ['urn:portcullis:admin', user('corp:prod'), false],
    ['urn:portcullis:admin', user('corp:platform'), true],
    ['urn:portcullis:admin', user('corp:security'), true],
    ['', user('corp:platform'), false],
    ['urn:portcullis:self', user(), true],
    ['urn:portcullis:self', holder('ci', ['corp:prod']), false],
    // A delegated session: its own clusters, as far as its user may use them, and never the admin API.
    ['urn:portcullis:self', delegated(), true],
    ['urn:portcullis:cluster:lab', delegated('corp:prod'), true],
    ['urn:portcullis:cluster:prod', delegated('corp:prod'), false],
    ['urn:portcullis:admin', delegated('corp:platform'), false],
    ['urn:portcullis:admin', delegated('corp:security'), false],
    // A workload: what its rule names, as far as the cluster lets it in; no group makes it an admin.
    ['urn:portcullis:cluster:prod', holder('ci', ['corp:prod']), true],
    ['urn:portcullis:cluster:prod', holder('ci', []), false],
    ['urn:portcullis:cluster:lab', holder('ci', ['corp:prod']), false],
    ['urn:portcullis:cluster:lab', holder('probe', []), false],
    ['urn:portcullis:admin', holder('ci', ['corp:platform']), false],
    ['urn:portcullis:admin', holder('probe', []), true],
    ['urn:portcullis:admin', holder('siem', []), true],
  ])('for %s and %o: %s', (audience, who, allowed) => {
    expect(all.allows(audience, who)).toBe(allowed);
  });

  it.each([
    [user('corp:platform'), true],
    [user('corp:security', 'corp:platform'), true],
    [user('corp:security'), false],
    [user(), false],
    [holder('ci', ['corp:platform']), false],
    [holder('probe', ['corp:platform']), false],
    [delegated('corp:platform'), false],
  ])('%o is an admin: %s', (who, admin) => {
    expect(all.isAdmin(who)).toBe(admin);
  });

  const PROGRAM = { name: 'mcp', registered: true } as const;
  it.each<[settings: Partial<Config['delegation']>, who: Holder, age: number, over: string | undefined]>([
    [{}, delegated(), 3599, undefined],
    [{}, delegated(), 3600, 'delegation_too_old'],
    [{ groups: ['corp:dev'] }, delegated('corp:dev'), 0, undefined],
    [{ groups: ['corp:dev'] }, delegated(), 0, 'delegation_not_allowed'],
    [{ groups: [] }, delegated('corp:dev'), 0, 'delegation_not_allowed'],
    [{ enabled: false }, delegated(), 0, 'delegation_disabled'],
    [{ enabled: false, groups: [], lifetime: 60 }, user(), 3600, undefined],
    [{}, by(PROGRAM, { name: 'reviewer' }), 0, undefined],
    [{ clients: [] }, by(PROGRAM, { name: 'reviewer' }), 0, 'delegation_client_removed'],
    [{ clients: [] }, by({ name: 'mcp' }), 0, undefined],
  ])('end delegated sessions by the configuration as it is now: %o, %o, %d s old', (settings, who, age, over) => {
    const now = audiences(
      { clusters: [], admin, workload: [], delegation: { ...delegation, ...settings } },
      () => true,
    );
    expect(now.delegationOver({ ...who, createdAt: 1000 }, 1000 + age)).toBe(over);
  });

  it('are of clusters that may be delegated', () => {
    const settings = { ...delegation, clusters: ['prod'] };
    const now = audiences({ clusters: [cluster('lab')], admin, workload: [], delegation: settings }, () => true);
    expect(now.allows('urn:portcullis:cluster:lab', delegated())).toBe(false);
    expect(now.allows('urn:portcullis:cluster:lab', user())).toBe(true);
  });

  it('names the clusters of a user', () => {
    expect(all.clustersOf(user()).map(({ name }) => name)).toEqual(['lab']);
    expect(all.clustersOf(holder('ci', ['corp:prod'])).map(({ name }) => name)).toEqual(['prod']);
    expect(all.clusterOf('urn:portcullis:cluster:prod')?.name).toBe('prod');
    expect(all.clusterOf('urn:portcullis:admin')).toBeUndefined();
  });
});
