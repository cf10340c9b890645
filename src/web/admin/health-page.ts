/**
 * `/admin/health`: whether clusters and identity providers answer.
 */
import { type ComponentHealth } from '../../contracts/health.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { healthBody, type Component } from './health-body.ts';

/** What is configured is shown, whether somebody has looked at it or not. */
function components(names: readonly string[], known: readonly ComponentHealth[] = []): readonly Component[] {
  return names.map((name) => ({ name, health: known.find((one) => one.name === name) }));
}

export async function showHealth(context: AdminPageContext): Promise<void> {
  const { deps } = context;
  const [clusters, providers] = await Promise.all([deps.health?.clusters(), deps.health?.providers()]);
  auditRead(context, 'health');
  const body = healthBody({
    clusters: components(
      deps.config.clusters.map(({ name }) => name),
      clusters,
    ),
    providers: components([...deps.providers.keys()], providers),
    now: nowSeconds(deps),
  });
  sendAdminPage(context, { title: 'Health', section: 'health', body });
}
