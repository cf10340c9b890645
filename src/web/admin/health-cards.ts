/** The cards of clusters and identity providers with their health, and of what is configured for delegated sessions. */
import type { ComponentHealth } from '../../contracts/health.ts';
import type { WebDeps, WebConfig } from '../dependencies.ts';
import { facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo } from '../page/layout.ts';
import { table, type Column } from '../page/table.ts';
import { formatMs } from './format.ts';

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

/** The clusters and identity providers, as this replica found them. */
export interface Health {
  readonly clusters: readonly ComponentHealth[];
  readonly providers: readonly ComponentHealth[];
}

/** Returns every configured component, whether it was checked or not. */
const components = (names: readonly string[], known: readonly ComponentHealth[] = []): readonly Component[] =>
  names.map((name) => ({ name, health: known.find((one) => one.name === name) }));

/**
 * @param health undefined while they are being checked
 * @param now epoch seconds
 */
export function healthCards({ config, providers }: WebDeps, health: Health | undefined, now: number): Html {
  const clusters = components(
    config.clusters.map(({ name }) => name),
    health?.clusters,
  );
  const signIns = components([...providers.keys()], health?.providers).map((one) => ({
    ...one,
    doubt: providers.get(one.name)?.freshSignInDoubt?.(),
  }));
  return html`<div class="grid">
      ${card({ id: 'clusters', title: 'Clusters', none: 'No cluster is configured.' }, clusters, now)}
      ${card({ id: 'providers', title: 'Identity providers', none: 'No identity provider is configured.' }, signIns, now)}
    </div>
    ${delegationCard(config.delegation)}`;
}
