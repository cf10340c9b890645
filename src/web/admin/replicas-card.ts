/** The card of the replicas and their leases. `replicas.js` keeps the rows up to date; all texts are in this card. */
import type { ReplicaView } from '../../revocation/revocation.ts';
import { html, type Html } from '../page/html.ts';
import { table, tableRow, type Column } from '../page/table.ts';
import { sortedById, formatMs } from './format.ts';

/** `unknown`: nothing has come from the server for some seconds, so what a row said before may not be so any more. */
type State = ReplicaView['state'] | 'unknown';

interface StateText {
  readonly style: string;
  readonly text: string | Html;
  readonly lease: string;
}

const STATES: Readonly<Record<State, StateText>> = {
  live: { style: 'ok', text: 'serving', lease: 'valid: it knows every revocation' },
  silent: { style: 'warn', text: 'silent', lease: 'expired: it rejects every request until it renews its lease' },
  fenced: { style: 'bad', text: 'fenced', lease: 'lost: it rejects every request and has cut its open streams' },
  unknown: {
    style: 'quiet',
    text: html`unknown since <span data-text="since"></span>`,
    lease: 'unknown: the server has sent nothing since then',
  },
};

/** A replica, or the empty row that the script fills. */
interface ReplicaRow {
  readonly state: State;
  readonly replica?: ReplicaView;
}

const self = html`<span class="badge" data-when="self">this replica</span>`;
const notSelf = html`<span class="badge" data-when="self" hidden>this replica</span>`;

const REPLICAS: readonly Column<ReplicaRow>[] = [
  {
    heading: 'Replica',
    kind: 'main',
    cell: ({ replica }) =>
      html`<span><span data-text="id">${replica?.id}</span> ${replica?.self === true ? self : notSelf}</span>`,
  },
  {
    heading: 'State',
    cell: ({ state }) => html`<span class="state ${STATES[state].style}">${STATES[state].text}</span>`,
  },
  { heading: 'Lease', cell: ({ state }) => STATES[state].lease },
  {
    heading: 'Last seen',
    cell: ({ replica }) => html`<span data-text="seen">${replica && `${formatMs(replica.seenMsAgo)} ago`}</span>`,
  },
  { heading: 'Log entry', cell: ({ replica }) => html`<span data-text="number">${replica?.number}</span>` },
  { heading: 'Streams cut', cell: ({ replica }) => html`<span data-text="streamsCut">${replica?.streamsCut}</span>` },
];

const template = (state: State): Html =>
  html`<template data-row="${state}">${tableRow({ columns: REPLICAS }, { state })}</template>`;

interface Shown {
  /** The URL of their server-sent events. */
  readonly live: string;
  /** True: with the button that leads to a drill. */
  readonly mayAct: boolean;
}

export function replicasCard(replicas: readonly ReplicaView[], { live, mayAct }: Shown): Html {
  return html`<section
    class="card"
    id="replicas"
    aria-labelledby="replicas-title"
    data-live="${live}"
    data-known="${JSON.stringify(replicas)}"
  >
    <div class="card-head">
      <h2 id="replicas-title">Replicas: <span data-text="count">${replicas.length}</span></h2>
      <span class="live" data-connection role="status" hidden></span>
      ${mayAct && html`<a class="button quiet compact" href="/admin/drill">Practise a revocation</a>`}
    </div>
    <p class="small muted">
      A replica serves requests while its lease is valid, and it renews the lease only after it has read every entry of
      the revocation log.
    </p>
    ${table({
      columns: REPLICAS,
      rows: sortedById(replicas).map((replica) => ({ state: replica.state, replica })),
      live: true,
    })}
    ${(['live', 'silent', 'fenced', 'unknown'] as const).map(template)}
    <noscript><p class="small muted">Load the page again to see the current state.</p></noscript>
  </section>`;
}
