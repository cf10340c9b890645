import { existsSync, readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { createMetrics } from '../../../src/telemetry/telemetry.ts';
import { alertCases, dashboards, deployedRules, ROOT } from '../../support/deployed.ts';

const alerts = deployedRules().filter(({ alert }) => alert !== undefined);
const panels = dashboards().flatMap((dashboard) => dashboard.panels);

it.each(alerts)('$alert says how grave it is, what happened and what to do', ({ labels, annotations }) => {
  expect(labels?.['severity']).toMatch(/^(critical|warning)$/);
  expect(annotations?.['summary']).toMatch(/\w.*\.$/);
  expect(annotations?.['runbook']).toMatch(/^docs\/runbooks\/[a-z-]+\.md$/);
  expect(existsSync(`${ROOT}${annotations?.['runbook']}`), annotations?.['runbook']).toBe(true);
});

it.each(alerts)('$alert is tested where it fires and where it does not', ({ alert }) => {
  const cases = alertCases().filter((each) => each.alert === alert);
  expect(cases.map(({ fires }) => fires)).toEqual(expect.arrayContaining([true, false]));
});

it('queries only what there is', () => {
  const metrics = createMetrics();
  metrics.observeSessions(() => 0);
  metrics.observeStore(() => 0);
  metrics.observeView(() => ({ stalenessSeconds: 0, fenced: false }));
  metrics.observeAudit(() => ({ blocked: false }));
  const own = metrics
    .describe()
    .flatMap(({ name, type }) => (type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]));
  const recorded = deployedRules().flatMap(({ record }) => record ?? []);
  // From the comparison of the two audit logs, not from Portcullis.
  const compared = [
    'portcullis_unissued_audit_ids',
    'portcullis_proxy_bypasses',
    'portcullis_unissued_check_timestamp_seconds',
  ];
  const known = new Set([...own, ...recorded, ...compared]);
  const queries = [
    ...deployedRules().map(({ expr }) => expr),
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ];
  const used = queries.flatMap((expr) => expr.match(/\bportcullis[_:][a-z0-9_:]+/g) ?? []);
  expect(used.length).toBeGreaterThan(50);
  expect(used.filter((name) => !known.has(name))).toEqual([]);
});

it('has three dashboards of few panels', () => {
  expect(dashboards()).toHaveLength(3);
  for (const { panels: own } of dashboards()) expect(own.length).toBeLessThanOrEqual(12);
});

it.each(panels)('the panel “$title” has a unit, a description, a place and runbooks that exist', (panel) => {
  expect(panel.fieldConfig.defaults.unit).not.toBe('');
  expect(panel.description).toMatch(/\w.*\.$/);
  expect(panel.gridPos.x + panel.gridPos.w).toBeLessThanOrEqual(24);
  expect(panel.targets.length).toBeGreaterThan(0);
  const pages = new Set(readdirSync(`${ROOT}docs/runbooks`));
  for (const { url } of panel.links) expect(pages).toContain(url.replace('${runbooks}/', ''));
});
