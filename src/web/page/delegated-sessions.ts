/**
 * Delegated sessions on pages: beneath the session that they were delegated from, with who acts in them and what they
 * may do.
 */
import { Document, isScalar, visit } from 'yaml';
import { actorText, MOST_LEVELS, type Delegation } from '../../core/delegation/delegation.ts';
import { describeLimits } from '../../core/delegation/describe.ts';
import type { SessionPage, SessionRecord } from '../../store/store.ts';
import type { Fact } from './card.ts';
import { html, type Html } from './html.ts';
import { defined } from '../../core/defined.ts';

/** A row of a list of sessions. */
export interface NestedSession {
  readonly session: SessionRecord;
  /** How many sessions of the same list it is beneath. */
  readonly level: number;
}

/**
 * Puts each delegated session beneath the nearest session above it that is in the list, and leaves the order of the
 * others as it is. Each session comes once, also where records are above one another in a circle.
 */
export function nested(sessions: readonly SessionRecord[]): readonly NestedSession[] {
  const left = new Set(sessions.map(({ id }) => id));
  const beneath = Map.groupBy(sessions, ({ id, delegation }) =>
    delegation?.ancestors.findLast((ancestor) => ancestor !== id && left.has(ancestor)),
  );
  const rows: NestedSession[] = [];
  const add = (session: SessionRecord, level: number): void => {
    if (!left.delete(session.id)) return;
    rows.push({ session, level });
    for (const child of beneath.get(session.id) ?? []) add(child, level + 1);
  };
  for (const session of [...(beneath.get(undefined) ?? []), ...sessions]) add(session, 0);
  return rows;
}

/** Returns the class of a row or an item that is beneath another one; nothing for the others. */
export const beneathClass = (level: number): string | undefined =>
  level > 0 ? `beneath beneath-${Math.min(level, MOST_LEVELS)}` : undefined;

/** A page of the sessions that a user opened, with the delegated ones beneath each. */
export interface NestedPage {
  readonly rows: readonly NestedSession[];
  readonly cursor?: string;
  /** How many of them are delegated. */
  readonly delegated: number;
  /** True where there may be further delegated sessions beneath these. */
  readonly moreDelegated: boolean;
}

/**
 * Returns a page of a user's sessions. Two lists, because delegated sessions are the newest, and would take the places
 * of what they are beneath.
 * @param own a page of those that are not delegated
 * @param delegated the newest delegated ones of the same account
 */
export function nestedPage(own: SessionPage, delegated: SessionPage): NestedPage {
  const shown = new Set(own.sessions.map(({ id }) => id));
  const children = delegated.sessions.filter(({ delegation }) => shown.has(delegation?.ancestors[0] ?? ''));
  return {
    rows: nested([...own.sessions, ...children]),
    ...defined({ cursor: own.cursor }),
    delegated: children.length,
    moreDelegated: delegated.cursor !== undefined,
  };
}

/** Characters. A record from the store may have any text in it. */
const MOST_TEXT = 160;
const MOST_NAME = 80;

const clipped = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, most)}…`);

/** Returns who acts in it, this session's own actor last. */
export const actorName = (delegation: Delegation): Html =>
  html`<bdi>${clipped(actorText(delegation), MOST_NAME)}</bdi>`;

/** Returns the rights as a text for a list; the page of the session has all of it. */
export const rightsText = ({ limits }: Delegation): string => clipped(describeLimits(limits), MOST_TEXT);

/** Returns the clusters as a text for a list. */
export const clustersText = ({ clusters }: Delegation): string =>
  clusters.length === 0 ? 'no cluster' : clipped(clusters.join(', '), MOST_NAME);

/** Returns the limits as they would be in a file of rules. */
function limitsText(limits: Delegation['limits']): string {
  const document = new Document(structuredClone(limits));
  visit(document, {
    Seq(_key, node) {
      if (node.items.every((item) => isScalar(item))) node.flow = true;
    },
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: false, indentSeq: false });
}

/** Lines that are shown at once. A session may have hundreds of rules. */
const MOST_LINES = 24;

/** Returns the card of a delegated session's rights, with all its limits as they would be in a file of rules. */
export function rightsCard(delegation: Delegation): Html {
  const { limits } = delegation;
  const text = limitsText(limits);
  const rules = limits.reduce((sum, limit) => sum + (limit.rules?.length ?? 0), 0);
  const isLong = text.split('\n').length > MOST_LINES;
  const count = `${limits.length} ${limits.length === 1 ? 'limit' : 'limits'}${rules === 0 ? '' : `, ${rules} ${rules === 1 ? 'rule' : 'rules'}`}`;
  return html`<section class="card" aria-labelledby="rights">
    <h2 id="rights">Rights</h2>
    <p><strong>${rightsText(delegation)}</strong></p>
    <p class="small muted">
      At most this, of what the user may do: each limit must allow a request, those of the sessions above it first, and
      then the cluster decides. An empty list allows nothing; what is absent does not limit.
    </p>
    <details ${!isLong && html`open`}>
      <summary>${count}</summary>
      <pre class="commands scrolled" tabindex="0">${text}</pre>
    </details>
  </section>`;
}

export function delegationFacts({ actors, clusters, sourceCidrs }: Delegation): readonly Fact[] {
  const actor = ({ name, registered }: Delegation['actors'][number]): Html =>
    html`<li>
      <bdi>${name}</bdi> ${registered === true && html`<span class="badge quiet">registered client</span>`}
    </li>`;
  const badge = (text: string): Html => html`<li class="badge">${text}</li>`;
  const names =
    clusters.length === 0
      ? html`<span class="muted">none</span>`
      : html`<ul class="list">
          ${clusters.map(badge)}
        </ul>`;
  return [
    [
      actors.length > 1 ? 'Actors' : 'Actor',
      html`<ol class="list steps">
        ${actors.map(actor)}
      </ol>`,
    ],
    ['Clusters', names],
    sourceCidrs !== undefined && ['Only from', sourceCidrs.length === 0 ? 'nowhere' : sourceCidrs.join(', ')],
  ];
}

/** As many as a sentence names; of the others it has the number. */
const MOST_NAMED = 10;

/** Returns the sentence that names the delegated sessions which end with another one; nothing where there is none. */
export function endsWithIt(names: readonly string[], text: string): Html | false {
  if (names.length === 0) return false;
  const rest = names.length - MOST_NAMED;
  return html`<p>
    ${text}
    ${names.slice(0, MOST_NAMED).map((name, index) => html`${index > 0 && ', '}<strong><bdi>${clipped(name, MOST_NAME)}</bdi></strong>`)}${
      rest > 0 && ` and ${rest} more`
    }.
  </p>`;
}
