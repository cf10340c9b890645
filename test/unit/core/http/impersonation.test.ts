import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../../src/core/identity/identity.ts';
import {
  beyondLimits,
  impersonateAttributes,
  rbacDenial,
  serviceAccountOf,
  requestedIdentity,
} from '../../../../src/core/http/impersonation.ts';
import {
  buildPassthroughHeaders,
  buildUpstreamHeaders,
  flatHeaders,
} from '../../../../src/core/http/upstream-headers.ts';

const bytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
const USER = ['Impersonate-User', 'demo:limited'];

describe('whom a client wants to act as', () => {
  it('is no one without a header that says so', () => {
    expect(requestedIdentity(['Accept', '*/*', 'X-Impersonate-User', 'root'])).toEqual({ ok: true, value: undefined });
  });

  it('is a user, with groups, uid and extra kept line by line', () => {
    const raw = [
      ...USER,
      'impersonate-GROUP',
      'a, b',
      'Impersonate-Group',
      'c',
      'Impersonate_Uid',
      '42',
      'Impersonate-Extra-Example.com%2FTeam_x',
      'red',
      'impersonate_extra_example.com%2fteam_x',
      bytes('grün'),
    ];
    expect(requestedIdentity(raw)).toEqual({
      ok: true,
      value: {
        username: 'demo:limited',
        uid: '42',
        groups: ['a, b', 'c'],
        extra: { 'example.com/team_x': ['red', 'grün'] },
      },
    });
  });

  it('keeps an escape that is none as it stands, as Kubernetes does', () => {
    const wanted = requestedIdentity([...USER, 'Impersonate-Extra-50%', '1']);
    expect(wanted).toMatchObject({ value: { extra: { '50%': ['1'] } } });
  });

  it.each([
    ['a name that Kubernetes does not know', [...USER, 'Impersonate-Role', 'x'], 'impersonation_header_unknown'],
    ['a name that only begins so', [...USER, 'Impersonated', 'x'], 'impersonation_header_unknown'],
    ['nothing behind Extra', [...USER, 'Impersonate-Extra', 'x'], 'impersonation_header_unknown'],
    ['groups without a user', ['Impersonate-Group', 'system:masters'], 'impersonation_without_user'],
    ['a uid without a user', ['Impersonate-Uid', '1'], 'impersonation_without_user'],
    ['extra without a user', ['Impersonate-Extra-a', '1'], 'impersonation_without_user'],
    ['two users', [...USER, 'Impersonate_User', 'root'], 'impersonation_repeated'],
    ['two uids', [...USER, 'Impersonate-Uid', '1', 'impersonate-uid', '1'], 'impersonation_repeated'],
    ['an empty user, which Kubernetes takes for none', ['Impersonate-User', ''], 'impersonation_malformed'],
    ['an empty uid', [...USER, 'Impersonate-Uid', ''], 'impersonation_malformed'],
    ['an empty group', [...USER, 'Impersonate-Group', ''], 'impersonation_malformed'],
    ['an empty key', [...USER, 'Impersonate-Extra-', 'x'], 'impersonation_malformed'],
    ['an empty value of extra', [...USER, 'Impersonate-Extra-a', ''], 'impersonation_malformed'],
    ['bytes that are no UTF-8', ['Impersonate-User', '\xff\xfe'], 'impersonation_malformed'],
    ['an invisible character', ['Impersonate-User', bytes('ro\u200Bot')], 'impersonation_malformed'],
    ['edge white space', ['Impersonate-User', bytes('\u00A0root')], 'impersonation_malformed'],
    ['a key that Kubernetes would lower-case', [...USER, 'Impersonate-Extra-%41', '1'], 'impersonation_malformed'],
    ['a key with a line break', [...USER, 'Impersonate-Extra-a%0d%0ab', '1'], 'impersonation_malformed'],
    ['a name beyond 512 bytes', ['Impersonate-User', 'x'.repeat(513)], 'impersonation_malformed'],
    ['a key of ours', [...USER, 'Impersonate-Extra-portcullis.dev/session', '1'], 'impersonation_reserved_extra'],
    [
      'a key of ours, escaped',
      [...USER, 'impersonate_extra_PORTCULLIS.dev%2foriginal-user', '1'],
      'impersonation_reserved_extra',
    ],
    ['a key below ours', [...USER, 'Impersonate-Extra-a.portcullis.dev/b', '1'], 'impersonation_reserved_extra'],
  ])('is refused for %s', (_what, raw, reason) => {
    expect(requestedIdentity(raw)).toEqual({ ok: false, reason });
  });
});

describe('what the user must be allowed', () => {
  const wanted = (change: Partial<Identity>): Identity => ({
    username: 'demo:limited',
    uid: '',
    groups: [],
    extra: {},
    ...change,
  });

  it('is every attribute, in the order of the API server', () => {
    const all = wanted({ uid: '42', groups: ['a', 'system:masters'], extra: { 'x/y': ['1', '2'] } });
    const verb = 'impersonate';
    expect(impersonateAttributes(all)).toEqual([
      { verb, group: '', resource: 'users', subresource: '', namespace: '', name: 'demo:limited' },
      { verb, group: 'authentication.k8s.io', resource: 'uids', subresource: '', namespace: '', name: '42' },
      { verb, group: '', resource: 'groups', subresource: '', namespace: '', name: 'a' },
      { verb, group: '', resource: 'groups', subresource: '', namespace: '', name: 'system:masters' },
      { verb, group: 'authentication.k8s.io', resource: 'userextras', subresource: 'x/y', namespace: '', name: '1' },
      { verb, group: 'authentication.k8s.io', resource: 'userextras', subresource: 'x/y', namespace: '', name: '2' },
    ]);
  });

  it.each([
    ['system:serviceaccount:kube-system:default', { namespace: 'kube-system', name: 'default' }],
    ['system:serviceaccount:a:b.c', { namespace: 'a', name: 'b.c' }],
    ['system:serviceaccount:a.b:c', undefined],
    ['system:serviceaccount:A:b', undefined],
    ['system:serviceaccount:a:B', undefined],
    ['system:serviceaccount::b', undefined],
    ['system:serviceaccount:a:', undefined],
    ['system:serviceaccount:a', undefined],
    ['system:serviceaccount:a:b:c', undefined],
    ['System:serviceaccount:a:b', undefined],
    ['system:serviceaccounts:a:b', undefined],
  ])('%s is a service account: %j', (username, account) => {
    expect(serviceAccountOf(username)).toEqual(account);
    expect(impersonateAttributes(wanted({ username }))).toMatchObject([
      account === undefined ? { resource: 'users', name: username } : { resource: 'serviceaccounts', ...account },
    ]);
  });

  it('is denied in the text of Kubernetes', () => {
    const [first] = impersonateAttributes(wanted({ username: 'demo:root' }));
    const [account] = impersonateAttributes(wanted({ username: 'system:serviceaccount:default:builder' }));
    const extra = impersonateAttributes(wanted({ extra: { scopes: ['all'] } }))[1];
    expect([first, account, extra].map((each) => each && rbacDenial('demo:alice', each))).toEqual([
      'users "demo:root" is forbidden: User "demo:alice" cannot impersonate resource "users" in API group "" at the cluster scope',
      'serviceaccounts "builder" is forbidden: User "demo:alice" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"',
      'userextras.authentication.k8s.io "all" is forbidden: User "demo:alice" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope',
    ]);
  });

  it('ends at what the cluster lets anyone impersonate', () => {
    const few = { groups: ['a'], extra: ['k'] };
    expect(beyondLimits(wanted({ groups: ['a'], extra: { k: ['1'] } }), few)).toBeUndefined();
    expect(beyondLimits(wanted({ groups: ['a', 'b'] }), few)).toEqual({ kind: 'group', name: 'b' });
    expect(beyondLimits(wanted({ extra: { other: ['1'] } }), few)).toEqual({ kind: 'extra', name: 'other' });
    expect(beyondLimits(wanted({ groups: ['b'] }), { groups: '*', extra: [] })).toBeUndefined();
  });
});

describe('the headers of someone who acts as someone else', () => {
  const INPUT = {
    belowProxy: false,
    upgrade: false,
    upstreamToken: 'upstream',
    sessionId: 's1',
    auditId: 'a',
    raw: USER,
  };
  const identity: Identity = { username: 'demo:alice', uid: 'u1', groups: ['demo:developers'], extra: { k: ['v'] } };
  const actingAs: Identity = { username: 'demo:limited', uid: '', groups: [], extra: {} };

  it('name the wanted one alone, and the user only as the original user', () => {
    const headers = flatHeaders(buildUpstreamHeaders({ ...INPUT, identity, actingAs, forwardedFor: '192.0.2.1' }));
    expect(headers.filter((_each, index) => /^impersonate/i.test(headers[index - (index % 2)] ?? ''))).toEqual([
      'Impersonate-User',
      'demo:limited',
      'Impersonate-Extra-portcullis.dev%2Fsession',
      's1',
      'Impersonate-Extra-portcullis.dev%2Foriginal-user',
      'demo:alice',
    ]);
  });

  it('are never made for no one', () => {
    const unidentified = { ...actingAs, username: '' };
    expect(() =>
      flatHeaders(buildUpstreamHeaders({ ...INPUT, identity, actingAs: unidentified, forwardedFor: '192.0.2.1' })),
    ).toThrow('could not pass your identity');
    const ours = { ...actingAs, extra: { 'portcullis.dev/session': ['x'] } };
    expect(() =>
      flatHeaders(buildUpstreamHeaders({ ...INPUT, identity, actingAs: ours, forwardedFor: '192.0.2.1' })),
    ).toThrow('could not pass your identity');
  });

  it('are none where a service account passes with its own token', () => {
    const headers = flatHeaders(
      buildPassthroughHeaders({ ...INPUT, clientToken: 'its-own', forwardedFor: '192.0.2.1' }),
    );
    expect(headers).toEqual(['Authorization', 'Bearer its-own', 'Audit-ID', 'a', 'X-Forwarded-For', '192.0.2.1']);
  });
});

describe('any impersonation headers', () => {
  const letters = (text: string) => fc.constantFrom(...text.split(''));
  const spelled = (name: string): fc.Arbitrary<string> =>
    fc.array(fc.boolean(), { minLength: name.length, maxLength: name.length }).chain((upper) =>
      fc.constantFrom('-', '_').map((hyphen) =>
        name
          .split('')
          .map((each, index) => (each === '-' ? hyphen : upper[index] ? each.toUpperCase() : each))
          .join(''),
      ),
    );
  const value = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }).map(bytes),
    fc.constantFrom('root', 'system:masters', ''),
  );
  const header = fc.oneof(
    spelled('impersonate-user'),
    spelled('impersonate-group'),
    spelled('impersonate-uid'),
    fc
      .tuple(
        spelled('impersonate-extra-'),
        fc.string({ unit: letters('abcXYZ019._-%2fF/'), maxLength: 20 }).map((key) => key.replaceAll('/', '%2F')),
      )
      .map((parts) => parts.join('')),
    spelled('impersonate-other'),
  );
  const others = fc.array(fc.tuple(header, value), { maxLength: 6 }).map((pairs) => pairs.flat());
  const raw = fc.oneof(
    others,
    others.map((lines) => [...USER, ...lines]),
  );

  it('become exactly what is asked about and sent, or are refused', () => {
    fc.assert(
      fc.property(raw, (lines) => {
        const wanted = requestedIdentity(lines);
        if (!wanted.ok) return;
        expect(wanted.value === undefined).toBe(lines.length === 0);
        if (wanted.value === undefined) return;
        // As many questions as lines: none is dropped in silence, none is asked for nothing.
        expect(impersonateAttributes(wanted.value)).toHaveLength(lines.length / 2);
        const identity = { username: 'alice', uid: 'u', groups: [], extra: {} };
        const rest = { belowProxy: true, upgrade: false, sessionId: 's', auditId: 'a', forwardedFor: '192.0.2.1' };
        const sent = flatHeaders(
          buildUpstreamHeaders({
            raw: lines,
            identity,
            actingAs: wanted.value,
            upstreamToken: 't',
            ...rest,
          }),
        );
        // Read again, it is the same identity with our two keys: what was allowed is what the API server gets to see.
        const own = sent.flatMap((name, index) =>
          index % 2 === 0 && /^impersonate/i.test(name) && !name.includes('portcullis.dev')
            ? [name, sent[index + 1] ?? '']
            : [],
        );
        expect(requestedIdentity(own)).toEqual(wanted);
        expect(sent.filter((name) => name === 'Impersonate-User')).toHaveLength(1);
      }),
      { numRuns: 500 },
    );
  });
});
