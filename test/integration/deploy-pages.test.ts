/** The chart and Portcullis accept the values that the pages about deployment show. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { describe, expect, it } from 'vitest';
import { loadAsDeployed } from '../support/chart-config.ts';
import { only, rendered, valuesOf } from '../support/chart.ts';
import { ROOT } from '../support/deployed.ts';
import { temporaryDirectory } from '../unit/config/sandbox.ts';

const blocksOf = (page: string): readonly string[] =>
  [...readFileSync(`${ROOT}docs/${page}.md`, 'utf8').matchAll(/^ *```yaml\n([\s\S]*?)^ *```$/gm)].map(
    ([, text = '']) => text,
  );

function file(text: string): string {
  const path = join(temporaryDirectory(), 'values.yaml');
  writeFileSync(path, text);
  return path;
}

it.each(['install', 'network-policies', 'break-glass'])('docs/%s.md shows valid YAML', (page) => {
  const blocks = blocksOf(page);
  expect(blocks.length).toBeGreaterThan(0);
  for (const block of blocks) {
    const documents = parseAllDocuments(block);
    expect(Array.isArray(documents) ? documents.flatMap(({ errors }) => errors) : []).toEqual([]);
  }
});

describe('docs/install.md', () => {
  const blocks = blocksOf('install');
  const [first = ''] = blocks;
  const remote = blocks.find((block) => block.startsWith('clusters:')) ?? '';

  it('has values that install, with a configuration that Portcullis accepts', async () => {
    expect(first).toMatch(/^# values\.yaml\n/);
    const objects = await rendered('--values', file(first));
    expect(only(objects, 'Ingress')).toBeDefined();
    const outcome = await loadAsDeployed(objects);
    expect(outcome.ok || outcome.reason).toBe(true);
  });

  it('has values for another cluster that can be combined with them', async () => {
    const { clusters } = parse(first) as { clusters: object[] };
    const more = parse(remote) as { clusters: object[] };
    const both = JSON.stringify([...clusters, ...more.clusters]);
    const outcome = await loadAsDeployed(await rendered('--values', file(first), '--set-json', `clusters=${both}`));
    expect(outcome.ok ? outcome.value.config.clusters.map(({ name }) => name) : outcome.reason).toEqual([
      'prod',
      'elsewhere',
    ]);
  });
});

describe('docs/network-policies.md', () => {
  it.each(blocksOf('network-policies').filter((block) => block.startsWith('networkPolicy:')))(
    'has values that render: %#',
    async (block) => {
      const objects = await rendered('--values', valuesOf('small'), '--values', file(block));
      const { networkPolicy } = parse(block) as {
        networkPolicy: { extraEgress?: object[]; providers?: { cidrs: string[] } };
      };
      const { egress } = only(objects, 'NetworkPolicy', 'portcullis')['spec'] as { egress: object[] };
      expect(egress).toEqual(expect.arrayContaining(networkPolicy.extraEgress ?? []));
      for (const cidr of networkPolicy.providers?.cidrs ?? []) expect(JSON.stringify(egress)).toContain(cidr);
    },
  );
});
