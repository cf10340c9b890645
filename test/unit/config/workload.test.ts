import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const github = {
  name: 'github',
  issuer: 'https://token.actions.githubusercontent.com',
  match: 'claims.repository_owner == "example"',
  clusters: ['prod'],
};

const withRules = (...rules: readonly object[]): object => ({ ...settings(), workload: rules });

describe('workload rules', () => {
  test('are read, with their prefixes, their life and their CA file made absolute', async () => {
    const { config, directory } = await loaded(withRules({ ...github, caFile: 'tls.crt', groups: '["deployers"]' }));
    expect(config.workload).toEqual([
      {
        ...github,
        caFile: join(directory, 'tls.crt'),
        hosts: [],
        username: 'claims.sub',
        groups: '["deployers"]',
        usernamePrefix: 'github:',
        groupsPrefix: 'github:',
        life: 3600,
        role: 'none',
      },
    ]);
  });

  test.each([
    ['the name of a provider, whose accounts would be the rule’s', { name: 'corp' }, 'name'],
    ['ourselves as issuer', { issuer: 'https://portcullis.example.com' }, 'issuer'],
    ['an issuer over plain http', { issuer: 'http://issuer.example.com' }, 'issuer'],
    ['no match', { match: undefined }, 'match'],
    ['a match that does not compile', { match: 'claims.' }, 'match'],
    ['a match that is no bool', { match: '"yes"' }, 'match'],
    ['a username that does not compile', { username: 'claim.sub' }, 'username'],
    ['groups that do not compile', { groups: '[1' }, 'groups'],
    ['a prefix that Kubernetes keeps for itself', { usernamePrefix: 'system:' }, 'usernamePrefix'],
    ['a cluster that there is not', { clusters: ['staging'] }, 'clusters[0]'],
    ['no cluster and no role', { clusters: [] }, 'clusters'],
    ['a life of two days', { life: '48h' }, 'life'],
    ['another role', { role: 'admin' }, 'role'],
    ['a CA file that is not there', { caFile: 'nowhere.crt' }, 'caFile'],
    ['a secret', { clientSecret: 'x' }, 'clientSecret'],
  ])('refuse %s', async (_what, change, place) => {
    const [error, ...others] = await errorsOf(withRules({ ...github, ...change }));
    expect(error?.path).toBe(`workload[0].${place}`);
    expect(others).toEqual([]);
  });

  test.each(['drill', 'auditor', 'revoker'])('may reach no cluster where they have the role %s', async (role) => {
    const { config } = await loaded(withRules({ ...github, clusters: [], role }));
    expect(config.workload[0]).toMatchObject({ clusters: [], role });
  });

  test('have a name each of their own', async () => {
    expect(await placesOf(withRules(github, github))).toEqual(['workload[1].name']);
  });

  test('are warned about where a prefix is empty or begins as a provider’s does', async () => {
    const { warnings } = await loaded(withRules({ ...github, usernamePrefix: '', groupsPrefix: 'corp:ci-' }));
    expect(warnings.filter(({ message }) => /workload|begin alike/.test(message))).toHaveLength(2);
  });
});
