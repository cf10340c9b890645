import { describe, expect, test } from 'vitest';
import { loaded, placesOf, settings } from './sandbox.ts';

const withDelegation = (delegation: object, sessions: object = {}): object => ({
  ...settings(),
  delegation,
  sessions,
});

describe('delegation', () => {
  test.each([
    ['a cluster that there is not', { clusters: ['prod', 'staging'] }, 'clusters[1]'],
    ['a lifetime beyond that of sessions', { lifetime: '25h' }, 'lifetime'],
    ['a lifetime of seconds', { lifetime: '30s' }, 'lifetime'],
    ['no session at all', { perSession: 0 }, 'perSession'],
    ['more than a hundred', { perSession: 101 }, 'perSession'],
    ['a preset that there is not', { most: 'read' }, 'most'],
    ['a word in place of true', { enabled: 'on' }, 'enabled'],
    ['one group in place of a list', { groups: 'corp:developers' }, 'groups'],
    ['a setting with a wrong name', { perAccount: 3 }, 'perAccount'],
  ])('refuses %s', async (_what, delegation, place) => {
    expect(await placesOf(withDelegation(delegation))).toEqual([`delegation.${place}`]);
  });

  test('lasts no longer than sessions, where no lifetime is set', async () => {
    const { config } = await loaded(withDelegation({}, { absolute: '4h', idle: '1h' }));
    expect(config.delegation.lifetime).toBe(4 * 3600);
  });

  test('keeps an empty list apart from none: no user, and every user', async () => {
    const { config } = await loaded(withDelegation({ groups: [], clusters: [] }));
    expect(config.delegation).toMatchObject({ groups: [], clusters: [] });
    expect((await loaded(withDelegation({}))).config.delegation).not.toHaveProperty('groups');
  });
});
