/** Values that the chart rejects, each with a message that names the place. */
import { expect, it } from 'vitest';
import { template, valuesOf } from '../support/chart.ts';

const CLUSTER = { name: 'prod', impersonate: { groups: ['corp:developers'] } };
const PROVIDER = { name: 'corp', clientId: 'portcullis' };

const REJECTED: readonly (readonly [string, string, unknown, RegExp])[] = [
  ['no publicUrl', 'publicUrl', '', /at '\/publicUrl'/],
  ['a publicUrl without TLS', 'publicUrl', 'http://portcullis.example.com', /at '\/publicUrl'/],
  ['a publicUrl with a path', 'publicUrl', 'https://example.com/portcullis', /at '\/publicUrl'/],
  ['no api.publicUrl', 'api.publicUrl', '', /at '\/api\/publicUrl'/],
  ['no provider', 'providers', [], /at '\/providers'/],
  ['a provider without a client id', 'providers', [{ name: 'corp' }], /clientId/],
  ['a provider of an unknown type', 'providers', [{ ...PROVIDER, type: 'ldap' }], /at '\/providers\/0\/type'/],
  [
    'a secret’s file where a Secret is named',
    'providers',
    [{ ...PROVIDER, clientSecretFile: '/x' }],
    /providers\[0\]\.clientSecretFile: .* as clientSecret: { secret: NAME, key: KEY }/,
  ],
  [
    'a key’s file where a Secret is named',
    'providers',
    [PROVIDER, { ...PROVIDER, name: 'b', clientKeyFile: '/x' }],
    /providers\[1\]\.clientKeyFile: .* as clientKey: {/,
  ],
  [
    'a CA’s file of a cluster where a Secret is named',
    'clusters',
    [{ ...CLUSTER, server: 'https://203.0.113.7', token: { secret: 'x' }, caFile: '/x' }],
    /clusters\[0\]\.caFile: .* as ca: {/,
  ],
  [
    'an unknown client authentication method',
    'providers',
    [{ ...PROVIDER, clientAuth: 'client_secret_jwt' }],
    /at '\/providers\/0\/clientAuth'/,
  ],
  [
    'a secret in the values',
    'providers',
    [{ ...PROVIDER, clientSecret: 'hunter2' }],
    /at '\/providers\/0\/clientSecret'/,
  ],
  ['no cluster', 'clusters', [], /at '\/clusters'/],
  ['a cluster without impersonation rules', 'clusters', [{ name: 'prod' }], /impersonate/],
  [
    'one cluster with and without constrained impersonation',
    'clusters',
    [
      { name: 'a', impersonate: { groups: [], constrained: 'read' } },
      { name: 'b', impersonate: { groups: [] } },
    ],
    /impersonate\.constrained is read and off/,
  ],
  ['a text for groups other than *', 'clusters', [{ name: 'prod', impersonate: { groups: 'all' } }], /groups/],
  ['a remote cluster without a token', 'clusters', [{ ...CLUSTER, server: 'https://203.0.113.7' }], /token/],
  [
    'a cluster without TLS',
    'clusters',
    [{ ...CLUSTER, server: 'http://203.0.113.7', token: { secret: 'x' } }],
    /server/,
  ],
  ['a name that no volume can have', 'clusters', [{ ...CLUSTER, name: 'a'.repeat(53) }], /at '\/clusters\/0\/name'/],
  [
    'a password in Redis’ URL',
    'redis',
    { url: 'rediss://:hunter2@redis.example.com', inChart: { enabled: false } },
    /at '\/redis\/url'/,
  ],
  [
    'an external Redis as well as the chart’s own',
    'redis.url',
    'rediss://redis.example.com:6379',
    /at '\/redis\/inChart\/enabled'/,
  ],
  ['no Redis', 'redis.inChart.enabled', false, /at '\/redis\/(url|inChart\/enabled)'/],
  ['two nodes of Redis', 'redis.nodes', 2, /at '\/redis\/nodes'/],
  ['Sentinels of one node', 'redis.sentinels', ['a.example.com:26379'], /at '\/redis\/(nodes|master)'/],
  ['two nodes of the chart’s Redis', 'redis.inChart.replicas', 2, /at '\/redis\/inChart\/replicas'/],
  [
    'a failover for each delay of a packet',
    'redis.inChart.failoverAfter',
    '500ms',
    /at '\/redis\/inChart\/failoverAfter'/,
  ],
  ['two nodes of three evicted', 'redis.inChart.podDisruptionBudget.maxUnavailable', 2, /maxUnavailable/],
  [
    'nodes of Redis that may all share a node',
    'redis.inChart.podAntiAffinity',
    'none',
    /at '\/redis\/inChart\/podAntiAffinity'/,
  ],
  ['a prefix that Portcullis rejects', 'redis.prefix', 'a{b}', /at '\/redis\/prefix'/],
  ['the PROXY protocol without trusted proxies', 'api.proxyProtocol', 'required', /at '\/trustedProxies'/],
  ['cert-manager without an issuer', 'certManager.enabled', true, /at '\/certManager\/issuerRef\/name'/],
  ['a route without a Gateway', 'gateway.enabled', true, /at '\/gateway\/parentRefs'/],
  ['a digest that is malformed', 'image.digest', 'sha256:abc', /at '\/image\/digest'/],
  ['an unknown setting', 'replica', 3, /additional properties 'replica'/],
  [
    'a setting twice',
    'config.publicUrl',
    'https://other.example.com',
    /config\.publicUrl: this is set by the chart's own values/,
  ],
  [
    'a drain that is longer than the pod lives',
    'terminationGracePeriodSeconds',
    55,
    /terminationGracePeriodSeconds is 55/,
  ],
  ['a drain in milliseconds, which Portcullis rejects', 'shutdown.delay', '500ms', /at '\/shutdown\/delay'/],
  ['keys that are retired immediately', 'keys.rotation.retireAfter', '0h', /at '\/keys\/rotation\/retireAfter'/],
  ['keys that are retired within the hour', 'keys.rotation.retireAfter', '59m', /at '\/keys\/rotation\/retireAfter'/],
  [
    'rotation of Secrets that have other names',
    'keys',
    { auditSecret: '', rotation: { enabled: true } },
    /keys\.rotation\.enabled: the three Secrets/,
  ],
  ['a name that no object can have', 'fullnameOverride', 'Access_', /at '\/fullnameOverride'/],
  ['a name that is too long for a pod’s label', 'nameOverride', 'a'.repeat(46), /at '\/nameOverride'/],
  [
    'a label that would take objects out of the policies and selectors',
    'commonLabels',
    { 'app.kubernetes.io/name': 'x' },
    /at '\/commonLabels\/app.kubernetes.io~1name'/,
  ],
  [
    'pods of Redis that pass for replicas',
    'redis.inChart.podLabels',
    { 'app.kubernetes.io/component': 'gate' },
    /at '\/redis\/inChart\/podLabels\/app.kubernetes.io~1component'/,
  ],
  [
    'pods of another release',
    'podLabels',
    { 'app.kubernetes.io/instance': 'x' },
    /at '\/podLabels\/app.kubernetes.io~1instance'/,
  ],
  ['a Redis without a limit of memory', 'redis.inChart.maxMemory', '0mb', /at '\/redis\/inChart\/maxMemory'/],
  ['fewer replicas lost than none', 'podDisruptionBudget.maxUnavailable', -1, /at '\/podDisruptionBudget/],
  ['a label that is no text', 'commonLabels', { team: 1 }, /at '\/commonLabels\/team'/],
  ['an annotation that is no text', 'deploymentAnnotations', { reload: true }, /at '\/deploymentAnnotations\/reload'/],
  ['an environment variable without a name', 'extraEnv', [{ value: 'x' }], /at '\/extraEnv\/0'/],
  ['environment variables by name', 'extraEnv', { HTTPS_PROXY: 'x' }, /at '\/extraEnv'/],
  ['a source of variables that is a text', 'extraEnvFrom', ['environment'], /at '\/extraEnvFrom\/0'/],
  ['a container without a name', 'extraContainers', [{ image: 'x' }], /at '\/extraContainers\/0'/],
  ['a first container that is a text', 'extraInitContainers', ['x'], /at '\/extraInitContainers\/0'/],
  ['two classes of load balancers', 'api.service.loadBalancerClass', 'a/b c', /at '\/api\/service\/loadBalancerClass'/],
  ['a protocol for a family', 'web.service.ipFamilies', ['IPv5'], /at '\/web\/service\/ipFamilies\/0'/],
  ['a policy that Kubernetes does not have', 'web.service.ipFamilyPolicy', 'DualStack', /ipFamilyPolicy/],
  ['a port beyond the last one', 'api.service.nodePort', 65536, /at '\/api\/service\/nodePort'/],
  ['a text for a switch', 'defaultTopologySpreadConstraints', 'no', /at '\/defaultTopologySpreadConstraints'/],
  [
    'a pod’s label that is no text',
    'redis.inChart.podLabels',
    { mesh: false },
    /at '\/redis\/inChart\/podLabels\/mesh'/,
  ],
  ['an image policy of its own', 'redis.inChart.image.pullPolicy', 'Sometimes', /pullPolicy/],
  ['metrics for no client', 'networkPolicy.monitoringFrom', [], /at '\/networkPolicy\/monitoringFrom'/],
  // Removing such a key would leave a rule without `from`, `to` or `ports`, which allows every client and every target.
  ['metrics for every client', 'networkPolicy.monitoringFrom', null, /monitoringFrom/],
  ['DNS of everywhere', 'networkPolicy.dns.to', null, /dns\.to|'to'/],
  ['API servers at every port', 'networkPolicy.apiServers.ports', null, /ports/],
  ['Redis at every port', 'networkPolicy.redis.ports', null, /ports/],
  ['providers at every port', 'networkPolicy.providers.ports', null, /ports/],
];

it.each(REJECTED)('rejects %s', async (_what, path, value, message) => {
  const { code, stderr } = await template(
    '--values',
    valuesOf('small'),
    '--set-json',
    `${path}=${JSON.stringify(value)}`,
  );
  expect(stderr).toMatch(message);
  expect(code).not.toBe(0);
  expect(stderr).not.toMatch(/nil pointer|error calling include|YAML parse error/);
});

it('rejects its own defaults, with every validation error in one message', async () => {
  const { code, stderr } = await template();
  expect(code).not.toBe(0);
  for (const place of ['/publicUrl', '/api/publicUrl', '/providers', '/clusters'])
    expect(stderr).toContain(`at '${place}'`);
});
