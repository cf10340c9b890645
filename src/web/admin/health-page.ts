/**
 * `/admin/health`: the health of clusters and identity providers, and what is configured for delegated sessions.
 */
import type { ComponentHealth } from '../../contracts/health.ts';
import type { WebConfig } from '../dependencies.ts';
import { facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo } from '../page/layout.ts';
import { table, type Column } from '../page/table.ts';
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
  /** Of a provider: why a fresh sign-in may not be proven. */
  readonly doubt?: string | undefined;
}

const stateOf = ({ health }: Component): Html =>
  health === undefined
    ? html`<span class="state quiet">not checked</span>`
    : html`<span class="state ${STATES[health.state].style}">${STATES[health.state].text}</span>`;

const columnsAt = (now: number): readonly Column<Component>[] => [
  { heading: 'Name', kind: 'main', cell: ({ name }) => name },
  {
    heading: 'State',
    cell: (component) => {
      const { health, doubt } = component;
      return html`<span
        >${stateOf(component)}${health?.problem !== undefined && html`<br /><span class="small">${health.problem}</span>`}${
          doubt !== undefined &&
          html`<br /><span class="state warn">fresh sign-in in doubt</span> <span class="small">${doubt}</span>`
        }</span
      >`;
    },
  },
  { heading: 'Response time', cell: ({ health }) => (health?.ms === undefined ? '–' : formatMs(health.ms)) },
  { heading: 'Checked', cell: ({ health }) => (health === undefined ? '–' : momentAgo(health.checkedAt, now)) },
];

interface Kind {
  readonly id: string;
  readonly title: string;
  readonly none: string;
}

const card = ({ id, title, none }: Kind, components: readonly Component[], now: number): Html =>
  html`<section class="card" aria-labelledby="${id}">
    <h2 id="${id}">${title}</h2>
    ${table({ columns: columnsAt(now), rows: components, empty: none })}
  </section>`;

type Delegation = WebConfig['delegation'];

const MOST: Readonly<Record<Delegation['most'], string>> = {
  'read-only': 'read-only, without Secrets',
  'read-only-with-secrets': 'read-only, with Secrets',
  rules: 'whatever the user may do',
};

const HOURS = 3600;
const MINUTES = 60;

function durationText(seconds: number): string {
  if (seconds % HOURS === 0) return `${seconds / HOURS} h`;
  return seconds % MINUTES === 0 ? `${seconds / MINUTES} min` : `${seconds} s`;
}

/** @param names absent: all of them; empty: none */
const namesOr = (names: readonly string[] | undefined, all: string, none: string): Html =>
  names === undefined
    ? html`${all}`
    : names.length === 0
      ? html`${none}`
      : html`<ul class="list">
          ${names.map((name) => html`<li class="badge">${name}</li>`)}
        </ul>`;

function delegationCard({ enabled, most, groups, clusters, lifetime, perSession, clients }: Delegation): Html {
  const isOff = !enabled || groups?.length === 0 || clusters?.length === 0;
  const ids = clients.map(({ id }) => id);
  const settings = facts([
    ['At most', MOST[most]],
    ['Who may delegate', namesOr(groups, 'every user', 'no one')],
    ['Clusters', namesOr(clusters, 'all', 'none')],
    ['Lifetime', `${durationText(lifetime)} at most`],
    ['Number', `${perSession} at most beneath one session`],
    ['Registered clients', namesOr(ids, '', 'none')],
  ]);
  return html`<section class="card" aria-labelledby="delegation">
    <h2 id="delegation">Delegated sessions</h2>
    <p>
      ${isOff ? html`<span class="state quiet">off</span>` : html`<span class="state ok">on</span>`}
      <span class="muted">as configured under <code>delegation</code> on this replica.</span>
    </p>
    ${enabled && settings}
  </section>`;
}

interface HealthPage {
  readonly delegation: Delegation;
  readonly clusters: readonly Component[];
  readonly providers: readonly Component[];
  /** Epoch seconds. */
  readonly now: number;
}

function healthBody({ clusters, providers, delegation, now }: HealthPage): Html {
  return html`<h1>Health</h1>
    <p class="lead">As this replica finds them. Each check is cached for 10 s.</p>
    ${card({ id: 'clusters', title: 'Clusters', none: 'No cluster is configured.' }, clusters, now)}
    ${card({ id: 'providers', title: 'Identity providers', none: 'No identity provider is configured.' }, providers, now)}
    ${delegationCard(delegation)}`;
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
    providers: components([...deps.providers.keys()], providers).map((one) => ({
      ...one,
      doubt: deps.providers.get(one.name)?.freshSignInDoubt?.(),
    })),
    delegation: deps.config.delegation,
    now: nowSeconds(deps),
  });
  sendAdminPage(context, { title: 'Health', read: { reason: 'health' }, body });
}
