/**
 * `/admin/health`: the health of clusters and identity providers.
 */
import type { ComponentHealth } from '../../contracts/health.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo } from '../page/layout.ts';
import { formatMs } from './format.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';

const STATES = {
  up: { style: 'ok', text: 'healthy' },
  down: { style: 'bad', text: 'unhealthy' },
} as const;

/** A configured cluster or provider with its health; without it where it was not checked yet. */
interface Component {
  readonly name: string;
  readonly health?: ComponentHealth | undefined;
}

const stateOf = ({ health }: Component): Html =>
  health === undefined
    ? html`<span class="state quiet">not checked</span>`
    : html`<span class="state ${STATES[health.state].style}">${STATES[health.state].text}</span>`;

const row = (component: Component, now: number): Html => {
  const { name, health } = component;
  return html`<tr>
    <td class="main" data-label="Name">${name}</td>
    <td data-label="State">
      <span
        >${stateOf(component)}${health?.problem !== undefined && html`<br /><span class="small">${health.problem}</span>`}</span
      >
    </td>
    <td data-label="Response time">${health?.ms === undefined ? '–' : formatMs(health.ms)}</td>
    <td data-label="Checked">${health === undefined ? '–' : momentAgo(health.checkedAt, now)}</td>
  </tr>`;
};

interface Kind {
  readonly id: string;
  readonly title: string;
  readonly none: string;
}

const card = ({ id, title, none }: Kind, components: readonly Component[], now: number): Html =>
  html`<section class="card" aria-labelledby="${id}">
    <h2 id="${id}">${title}</h2>
    ${
      components.length === 0
        ? html`<p class="empty">${none}</p>`
        : html`<table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">State</th>
                <th scope="col">Response time</th>
                <th scope="col">Checked</th>
              </tr>
            </thead>
            <tbody>
              ${components.map((component) => row(component, now))}
            </tbody>
          </table>`
    }
  </section>`;

interface HealthPage {
  readonly clusters: readonly Component[];
  readonly providers: readonly Component[];
  /** Epoch seconds. */
  readonly now: number;
}

function healthBody({ clusters, providers, now }: HealthPage): Html {
  return html`<h1>Health</h1>
    <p class="lead">As this replica finds them. Each check is cached for 10 s.</p>
    ${card({ id: 'clusters', title: 'Clusters', none: 'No cluster is configured.' }, clusters, now)}
    ${card({ id: 'providers', title: 'Identity providers', none: 'No identity provider is configured.' }, providers, now)}`;
}

/** Returns every configured component, whether it was checked or not. */
function components(names: readonly string[], known: readonly ComponentHealth[] = []): readonly Component[] {
  return names.map((name) => ({ name, health: known.find((one) => one.name === name) }));
}

export async function showHealth(context: AdminPageContext): Promise<void> {
  const { deps } = context;
  const [clusters, providers] = await Promise.all([deps.health?.clusters(), deps.health?.providers()]);
  const body = healthBody({
    clusters: components(
      deps.config.clusters.map(({ name }) => name),
      clusters,
    ),
    providers: components([...deps.providers.keys()], providers),
    now: nowSeconds(deps),
  });
  sendAdminPage(context, { title: 'Health', section: 'health', read: { reason: 'health' }, body });
}
