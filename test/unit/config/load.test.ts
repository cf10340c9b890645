import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatErrors, loadConfig } from '../../../src/config/load.ts';
import { errorsOf, loaded, placesOf, settings, temporaryDirectory } from './sandbox.ts';

test('fills every default and makes paths absolute from the file’s directory', async () => {
  const { config, directory } = await loaded(settings());
  expect(config).toEqual({
    publicUrl: 'https://portcullis.example.com',
    listen: {
      api: {
        address: { host: '0.0.0.0', port: 6443 },
        certFile: join(directory, 'tls.crt'),
        keyFile: join(directory, 'tls.key'),
        publicUrl: 'https://api.example.com:6443',
        proxyProtocol: 'off',
      },
      web: {
        address: { host: '0.0.0.0', port: 8443 },
        tls: { certFile: join(directory, 'tls.crt'), keyFile: join(directory, 'tls.key') },
      },
      ops: { address: { host: '0.0.0.0', port: 9090 } },
      trustedProxies: [],
    },
    store: { kind: 'memory' },
    keys: { signingDir: join(directory, 'keys/signing'), sealingDir: join(directory, 'keys/sealing') },
    providers: [
      {
        name: 'corp',
        type: 'oidc',
        issuer: 'https://login.example.com',
        clientId: 'portcullis',
        hosts: [],
        usernamePrefix: 'corp:',
        groupsPrefix: 'corp:',
        username: 'claims.email',
        extra: {},
        emailVerified: 'claim',
        backchannelLogout: 'session',
        freshness: 'auto',
        rules: [],
        userRules: [],
      },
    ],
    clusters: [
      {
        name: 'prod',
        hosts: ['prod.example.com'],
        publicUrl: 'https://prod.example.com:6443',
        server: 'https://10.0.0.1:6443',
        tokenFile: join(directory, 'token'),
        allow: 'true',
        impersonate: { groups: '*', extra: [], constrained: 'off' },
        serviceAccountPassthrough: false,
      },
    ],
    consoles: [],
    workload: [],
    admin: { groups: ['corp:platform'], auditors: [], freshness: 900, dualControl: 'off' },
    sessions: {
      accessToken: 300,
      idle: 43_200,
      absolute: 86_400,
      recheck: 300,
      recheckGrace: 900,
      binding: 'required',
      deviceCode: 'on',
      publicClients: [],
    },
    delegation: {
      enabled: true,
      most: 'rules',
      lifetime: 28_800,
      perSession: 20,
      clients: [],
      clientMetadata: { hosts: [] },
    },
    access: { roles: [], freshness: 900, notify: [] },
    stepUp: [],
    revocation: { staleness: 2, emptyStore: 'init' },
    audit: {
      sinks: [{ type: 'stdout' }],
      policy: [],
      onFailure: 'block',
      writeAhead: 'changes',
      rejectionsPerMinute: 60,
      execCommands: false,
    },
    limits: {
      headerBytes: 16_384,
      connections: 10_000,
      inFlightPerUser: 400,
      groups: 1000,
      idle: 600,
      signInsPerMinute: 30,
    },
    shutdown: { delay: 10, grace: 50 },
    telemetry: { logLevel: 'info' },
    clockSkew: 60,
    contact: 'your platform team',
  });
});

test('freezes the whole of it', async () => {
  const { config } = await loaded(settings());
  expect(Object.isFrozen(config.listen.api.address)).toBe(true);
  expect(Object.isFrozen(config.clusters[0]?.hosts)).toBe(true);
});

describe('a cluster’s public URL', () => {
  const publicUrl = async (cluster: object, apiUrl = 'https://api.example.com:6443') => {
    const base = settings();
    base.listen.api['publicUrl'] = apiUrl;
    Object.assign(base.clusters[0] ?? {}, cluster);
    return (await loaded(base)).config.clusters[0]?.publicUrl;
  };
  test('is the first host at the api listener’s public port', async () => {
    expect(await publicUrl({}, 'https://api.example.com')).toBe('https://prod.example.com');
    expect(await publicUrl({}, 'https://api.example.com:7443')).toBe('https://prod.example.com:7443');
  });
  test('ends with the prefix where there is no host', async () => {
    expect(await publicUrl({ hosts: [] })).toBe('https://api.example.com:6443/clusters/prod');
  });
  test('is taken as written where it leads to the cluster, and refused where it does not', async () => {
    expect(await publicUrl({ publicUrl: 'https://prod.example.com:9999' })).toBe('https://prod.example.com:9999');
    await expect(publicUrl({ publicUrl: 'https://other.example.com' })).rejects.toThrow('clusters[0].publicUrl');
    await expect(publicUrl({ publicUrl: 'https://api.example.com/clusters/test' })).rejects.toThrow(
      'clusters[0].publicUrl',
    );
    await expect(publicUrl({ publicUrl: 'http://prod.example.com' })).rejects.toThrow('clusters[0].publicUrl');
  });
});

describe('constrained impersonation', () => {
  const loadedWith = async (impersonate: object) => {
    const base = settings();
    Object.assign(base.clusters[0] ?? {}, { impersonate });
    return (await loaded(base)).config.clusters[0]?.impersonate;
  };
  test.each(['off', 'read', 'all'])('may be %s', async (constrained) => {
    expect(await loadedWith({ groups: ['corp:a'], constrained })).toMatchObject({ constrained });
  });
  test('is off where nothing is said', async () => {
    expect(await loadedWith({ groups: '*' })).toMatchObject({ constrained: 'off' });
  });
  test.each([
    [{ groups: '*', constrained: true }, 'clusters[0].impersonate.constrained'],
    [{ groups: ['system:masters'], constrained: 'all' }, 'clusters[0].impersonate.groups[0]'],
    [{ groups: [], extra: ['a.example/b', 'team'], constrained: 'read' }, 'clusters[0].impersonate.extra[1]'],
    [{ groups: [], extra: ['a..example/b'], constrained: 'read' }, 'clusters[0].impersonate.extra[0]'],
  ])('is rejected where no API server would take it: %j', async (impersonate, setting) => {
    await expect(loadedWith(impersonate)).rejects.toThrow(setting);
  });
});

test('reports all errors together, each with its setting, line, description and value', async () => {
  const errors = await errorsOf(`
publicUrl: https://portcullis.example.com/
pubicUrl: x
listen:
  api:
    adress: "0.0.0.0:6443"
    certFile: tls.crt
    keyFile: nowhere.key
    publicUrl: http://api.example.com
store: { memory: {}, redis: { url: "redis://localhost:6379" } }
providers:
  - name: Corp
    issuer: http://login.example.com
    clientSecret: hunter2-canary
  - name: other
    issuer: https://login.example.com
    clientId: x
    username: claims.
    rules: [{ expression: "claims.x ==", message: no }]
clusters:
  - name: prod
    server: https://10.0.0.1
    tokenFile: token
    allow: user.name == "x"
    impersonate: { groups: all }
sessions: { accessToken: 1h, idle: 2h, absolute: 1h }
audit: { sinks: [{ type: webhook }] }
workload: {}
`);
  expect(errors.map(({ path, line }) => `${path} ${line ?? '-'}`).toSorted()).toEqual([
    'audit.sinks[0].url 27',
    'clusters[0].allow 24',
    'clusters[0].impersonate.groups 25',
    'keys -',
    'listen.api.adress 6',
    'listen.api.keyFile 8',
    'listen.api.publicUrl 9',
    'listen.web 5',
    'providers[0].clientId 12',
    'providers[0].clientSecret 14',
    'providers[0].issuer 13',
    'providers[0].name 12',
    'providers[1].rules[0].expression 19',
    'providers[1].username 18',
    'pubicUrl 3',
    'publicUrl 2',
    'sessions.accessToken 26',
    'store 10',
    'workload 28',
  ]);
  const text = formatErrors(errors);
  expect(text).toContain('did you mean address?');
  expect(text).toContain('did you mean publicUrl?');
  expect(text).toContain('did you mean clientSecretFile?');
  expect(text).toContain('audit.sinks[0].url (line 27): an https URL');
  expect(text).toContain('got "http://login.example.com"');
  expect(text).not.toContain('hunter2');
});

describe('what is refused', () => {
  type Spoil = (base: ReturnType<typeof settings>) => void;
  const rows: readonly (readonly [string, Spoil, readonly string[]])[] = [
    ['plain http that is not loopback', (s) => (s.publicUrl = 'http://portcullis.example.com'), ['publicUrl']],
    ['a public URL with a path', (s) => (s.publicUrl = 'https://portcullis.example.com/path'), ['publicUrl']],
    ['a public URL in upper case', (s) => (s.publicUrl = 'https://Portcullis.example.com'), ['publicUrl']],
    ['a public URL with user info', (s) => (s.publicUrl = 'https://a:b@portcullis.example.com'), ['publicUrl']],
    ['no store', (s) => (s.store = {}), ['store']],
    [
      'a password in the Redis URL',
      (s) => (s.store = { redis: { url: 'redis://:canary@localhost' } }),
      ['store.redis.url'],
    ],
    [
      'braces in the Redis prefix',
      (s) => (s.store = { redis: { url: 'redis://localhost', prefix: '{a}' } }),
      ['store.redis.prefix'],
    ],
    ['two providers of one name', (s) => s.providers.push({ ...s.providers[0] }), ['providers[1].name']],
    [
      'two clusters of one name and host',
      (s) => s.clusters.push({ ...s.clusters[0] }),
      ['clusters[1].hosts[0]', 'clusters[1].name'],
    ],
    ['no provider', (s) => (s.providers = []), ['providers']],
    [
      'a host in upper case',
      (s) => Object.assign(s.clusters[0] ?? {}, { hosts: ['Prod.example.com'] }),
      ['clusters[0].hosts[0]'],
    ],
    [
      'a host with a port',
      (s) => Object.assign(s.clusters[0] ?? {}, { hosts: ['prod.example.com:6443'] }),
      ['clusters[0].hosts[0]'],
    ],
    ['a name that is no label', (s) => Object.assign(s.clusters[0] ?? {}, { name: 'prod/eu' }), ['clusters[0].name']],
    [
      'no word about groups',
      (s) => Object.assign(s.clusters[0] ?? {}, { impersonate: {} }),
      ['clusters[0].impersonate.groups'],
    ],
    [
      'a prefix of Kubernetes',
      (s) => Object.assign(s.providers[0] ?? {}, { usernamePrefix: 'system:' }),
      ['providers[0].usernamePrefix'],
    ],
    [
      'an extra key of ours',
      (s) => Object.assign(s.providers[0] ?? {}, { extra: { 'portcullis.dev/session': 'claims.x' } }),
      ['providers[0].extra.portcullis.dev/session'],
    ],
    [
      'scopes without openid',
      (s) => Object.assign(s.providers[0] ?? {}, { scopes: ['email'] }),
      ['providers[0].scopes'],
    ],
    [
      'a web listener without TLS by accident',
      (s) => (s.listen.web = {}),
      ['listen.web.certFile', 'listen.web.keyFile'],
    ],
    ['TLS files where TLS is off', (s) => (s.listen.web['tls'] = 'off'), ['listen.web.certFile', 'listen.web.keyFile']],
    ['two listeners on one address', (s) => (s.listen.web['address'] = '0.0.0.0:6443'), ['listen.web.address']],
    [
      'PROXY headers from no address',
      (s) => Object.assign(s.listen.api, { proxyProtocol: 'required' }),
      ['listen.trustedProxies'],
    ],
    [
      'PROXY headers from every address',
      (s) => Object.assign(s.listen, { trustedProxies: ['10.0.0.0/8', '0.0.0.0/0'] }),
      ['listen.trustedProxies[1]'],
    ],
    [
      'a re-check that comes after its grace',
      (s) => Object.assign(s, { sessions: { recheck: '20m' } }),
      ['sessions.recheckGrace'],
    ],
    ['a re-check every ten seconds', (s) => Object.assign(s, { sessions: { recheck: '10s' } }), ['sessions.recheck']],
    [
      'device codes that may be',
      (s) => Object.assign(s, { sessions: { deviceCode: 'maybe' } }),
      ['sessions.deviceCode'],
    ],
    ['bindings that are on', (s) => Object.assign(s, { sessions: { binding: 'on' } }), ['sessions.binding']],
    ['idle beyond absolute', (s) => Object.assign(s, { sessions: { idle: '25h' } }), ['sessions.idle']],
    // Such a token would outlive the session of a user who has left.
    [
      'an access token beyond idle',
      (s) => Object.assign(s, { sessions: { accessToken: '11m', idle: '10m' } }),
      ['sessions.accessToken'],
    ],
    [
      'an access token of seconds',
      (s) => Object.assign(s, { sessions: { accessToken: '59s' } }),
      ['sessions.accessToken'],
    ],
    [
      'an access token of an hour',
      (s) => Object.assign(s, { sessions: { accessToken: '16m' } }),
      ['sessions.accessToken'],
    ],
    ['a duration without unit', (s) => Object.assign(s, { sessions: { idle: 3600 } }), ['sessions.idle']],
    ['no sink', (s) => Object.assign(s, { audit: { sinks: [] } }), ['audit.sinks']],
    ['a missing file', (s) => Object.assign(s.clusters[0] ?? {}, { tokenFile: 'nowhere' }), ['clusters[0].tokenFile']],
    ['a directory for a file', (s) => (s.listen.api['certFile'] = 'keys'), ['listen.api.certFile']],
    ['a file for a directory', (s) => (s.keys['signingDir'] = 'token'), ['keys.signingDir']],
    [
      'an empty secret',
      (s) => Object.assign(s.clusters[0] ?? {}, { tokenFile: 'keys/signing/.keep' }),
      ['clusters[0].tokenFile'],
    ],
    [
      'an audit file that cannot be made',
      (s) => Object.assign(s, { audit: { sinks: [{ type: 'file', path: 'nowhere/audit.log' }] } }),
      ['audit.sinks[0].path'],
    ],
    ['a mapping for a list', (s) => Object.assign(s, { admin: { groups: { a: 1 } } }), ['admin.groups']],
    ['a dual control of true', (s) => Object.assign(s, { admin: { dualControl: true } }), ['admin.dualControl']],
    ['a list for a mapping', (s) => Object.assign(s, { sessions: [] }), ['sessions']],
  ];
  test.each(rows)('%s', async (_, spoil, places) => {
    const base = settings();
    spoil(base);
    expect(await placesOf(base)).toEqual(places);
  });
});

test('accepts http and plain pages on loopback', async () => {
  const base = settings();
  base.publicUrl = 'http://localhost:7444';
  base.listen.web = { tls: 'off', address: '127.0.0.1:0' };
  Object.assign(base.providers[0] ?? {}, { issuer: 'http://127.0.0.1:7447' });
  const { config } = await loaded(base);
  expect(config.listen.web).toEqual({ address: { host: '127.0.0.1', port: 0 } });
});

describe('YAML', () => {
  test.each([
    ['a: [1', 'valid YAML', 1],
    ['publicUrl: a\npublicUrl: b\n', 'valid YAML', 2],
    ['publicUrl: "a\n', 'valid YAML', 2],
    ['a: 1\n---\nb: 2\n', 'valid YAML', 2],
    ['- a\n', 'a mapping of settings', undefined],
    ['', 'a mapping of settings', undefined],
    ['just text', 'a mapping of settings', undefined],
    ['a: !!js/function "x"\n', 'valid YAML', 1],
  ])('%j is an error', async (text, expected, line) => {
    const [error] = await errorsOf(text);
    expect(error?.expected).toContain(expected);
    expect(error?.line).toBe(line);
  });

  test('with aliases that grow without end is an error', async () => {
    const levels = Array.from(
      { length: 12 },
      (_, index) => `l${index + 1}: &l${index + 1} [${Array(9).fill(`*l${index}`).join(', ')}]`,
    );
    const [error] = await errorsOf(['l0: &l0 [x]', ...levels, ''].join('\n'));
    expect(error?.expected).toContain('valid YAML');
  });

  test('does not quote the source of a syntax error', async () => {
    expect(formatErrors(await errorsOf('clientSecret: "canary\nx: [\n'))).not.toContain('canary');
  });

  test('a file that is not there is an error', async () => {
    const file = join(temporaryDirectory(), 'none.yaml');
    expect(await loadConfig({ file, env: {} })).toMatchObject({
      ok: false,
      reason: [{ path: file, expected: expect.stringContaining('ENOENT') }],
    });
  });
});
