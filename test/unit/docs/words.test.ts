/** Sources, pages and documents use the words of the field (CONTRIBUTING.md#words). */
import { describe, expect, test } from 'vitest';
import { ROOT } from './markdown.ts';
import { findingsAt, textFiles, UNWANTED, unwantedIn } from './word-list.ts';

/** Cleared of the dialect so far. */
const CHECKED = [
  'src/contracts',
  'src/cli-package',
  'src/cli/cli.ts',
  'src/cli/commands',
  'src/cli/completion',
  'src/cli/context.ts',
  'src/cli/environment.ts',
  'src/cli/errors.ts',
  'src/cli/http',
  'src/cli/kubeconfig',
  'src/cli/local-proxy',
  'src/cli/plugin',
  'src/cli/terminal',
  'src/main.ts',
  'src/posture',
  'src/program.ts',
  'src/proxy',
  'src/revocation',
  'src/timing',
  'test/model',
  'test/unit/proxy',
  'test/unit/revocation',
  'test/unit/timing',
  'demo',
  'docs/posture',
  'docs/reference/cli.md',
  'src/config',
  'src/idp',
  'docs/reference/configuration.md',
  'test/unit/oauth',
  'test/unit/idp',
  'test/unit/config',
  'src/admin',
  'src/core/admin-api',
  'src/http',
  'src/web/admin',
  'src/web/assets/admin.css',
  'src/web/assets/audit.js',
  'src/web/assets/live.js',
  'src/web/assets/pages.js',
  'src/web/assets/receipt.js',
  'src/web/assets/replicas.js',
  'test/unit/admin',
  'test/unit/http',
  'test/unit/web/admin',
  'scripts/api-reference.ts',
  'docs/admin-pages.md',
  'docs/reference/admin-api.md',
  'src/oauth',
  'test/unit/config',
  'test/unit/idp',
  'test/unit/oauth',
  'scripts/cli-reference.ts',
  'scripts/posture-reference.ts',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'src/store',
  'src/audit',
  'src/telemetry',
  'src/server',
  'src/core/audit',
  'src/core/credential',
  'src/core/http',
  'src/core/request',
  'test/unit/store',
  'test/unit/audit',
  'test/unit/telemetry',
  'test/unit/server',
  'test/unit/core/audit',
  'test/unit/core/credential',
  'test/unit/core/http',
  'test/unit/core/request',
  'test/conformance',
  'docs/reference/audit-events.md',
  'docs/reference/metrics.md',
  'docs/reference/store-schema.md',
  'scripts/audit-reference.ts',
  'scripts/metrics-reference.ts',
  'scripts/markdown-text.ts',
  'src/web',
  'test/unit/web',
  'test/integration/delegation.test.ts',
  'test/integration/demo-cluster.test.ts',
  'test/integration/demo-users.test.ts',
  'test/integration/deploy-chart-refusals.test.ts',
  'test/integration/deploy-chart-shapes.test.ts',
  'test/integration/deploy-chart.test.ts',
  'test/integration/deploy-examples.test.ts',
  'test/integration/deploy-image.test.ts',
  'test/integration/deploy-pages.test.ts',
  'test/integration/deploy-redis.test.ts',
  'test/integration/device-cli.test.ts',
  'test/integration/device.test.ts',
  'test/integration/disabled-users.test.ts',
  'test/integration/docs-audit.test.ts',
  'test/integration/docs-checkout.test.ts',
  'test/integration/docs-packages.test.ts',
  'test/integration/docs-server.test.ts',
  'test/integration/docs-shell.test.ts',
  'test/integration/drain.test.ts',
  'test/integration/drill.test.ts',
  'test/integration/email-verified.test.ts',
  'test/integration/flow.test.ts',
  'test/integration/fresh-proof.test.ts',
  'test/integration/fresh-sign-in.test.ts',
  'test/integration/half-way.test.ts',
  'test/integration/health.test.ts',
  'test/integration/http2-cut.test.ts',
  'test/integration/http2-limits.test.ts',
  'test/integration/http2.test.ts',
  'test/integration/idp.test.ts',
  'test/integration/issuer-keys.test.ts',
  'test/integration/limits.test.ts',
  'test/integration/live-views-browser.test.ts',
  'test/integration/live-views.test.ts',
  'test/integration/lost-connection.test.ts',
  'test/integration/flow',
];

describe('the word list', () => {
  test.each(CHECKED)('finds nothing in %s', (path) => {
    expect(textFiles(`${ROOT}${path}`).flatMap(findingsAt)).toEqual([]);
  });

  test('finds a word in a comment, in a text and in an identifier', () => {
    const code = "// somebody\nconst startTestGate = 'the record'; // delegates\n";
    expect(unwantedIn(code, true).map(({ line, found }) => `${line} ${found}`)).toEqual([
      '1 somebody',
      '2 Gate',
      '2 the record',
    ]);
  });

  test('leaves names outside as they are', () => {
    expect(
      unwantedIn(
        '`gate-bypassed`, portcullis_gate_bypasses, [runbook](runbooks/gate-bypassed.md), --gate-account',
        false,
      ),
    ).toEqual([]);
    expect(unwantedIn('limits.inFlightPerPerson', true)).toEqual([]);
  });

  test('gives a reason for each', () => {
    for (const { write, because } of UNWANTED) expect(`${write}${because}`).toMatch(/\w.*\w/);
  });
});
