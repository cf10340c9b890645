/**
 * `/admin/replicas`: the replicas and their leases. `replicas.js` keeps the rows up to date; all texts are on this
 * page.
 */
import type { ReplicaView } from '../../revocation/revocation.ts';
import { html, type Html } from '../page/html.ts';
import { sortedById, formatMs } from './format.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';

type State = ReplicaView['state'];

const STATES: Readonly<Record<State, { readonly style: string; readonly text: string; readonly lease: string }>> = {
  live: { style: 'ok', text: 'serving', lease: 'valid: it knows every revocation' },
  silent: { style: 'warn', text: 'silent', lease: 'expired: it rejects every request until it renews its lease' },
  fenced: { style: 'bad', text: 'fenced', lease: 'lost: it rejects every request and has cut its open streams' },
};

function row(state: State, replica?: ReplicaView): Html {
  const { style, text, lease } = STATES[state];
  const self = html`<span class="badge" data-when="self">this replica</span>`;
  const notSelf = html`<span class="badge" data-when="self" hidden>this replica</span>`;
  return html`<tr>
    <td class="main" data-label="Replica">
      <span><span data-text="id">${replica?.id ?? ''}</span> ${replica?.self === true ? self : notSelf}</span>
    </td>
    <td data-label="State"><span class="state ${style}">${text}</span></td>
    <td data-label="Lease">${lease}</td>
    <td data-label="Last seen">
      <span data-text="seen">${replica === undefined ? '' : `${formatMs(replica.seenMsAgo)} ago`}</span>
    </td>
    <td data-label="Log entry"><span data-text="number">${replica?.number ?? ''}</span></td>
    <td data-label="Streams cut"><span data-text="streamsCut">${replica?.streamsCut ?? ''}</span></td>
  </tr>`;
}

const template = (state: State): Html => html`<template data-row="${state}">${row(state)}</template>`;

/**
 * Returns the page of the replicas.
 * @param live the URL of their server-sent events
 */
function replicasBody(replicas: readonly ReplicaView[], live: string): Html {
  return html`<h1>Replicas</h1>
    <p class="lead">
      A replica serves requests while its lease is valid, and it renews the lease only after it has read every entry of
      the revocation log.
    </p>
    <section class="card" aria-labelledby="replicas" data-live="${live}">
      <div class="card-head">
        <h2 id="replicas">Replicas: <span data-text="count">${replicas.length}</span></h2>
        <span class="live" data-connection role="status" hidden></span>
      </div>
      <table>
        <thead>
          <tr>
            <th scope="col">Replica</th>
            <th scope="col">State</th>
            <th scope="col">Lease</th>
            <th scope="col">Last seen</th>
            <th scope="col">Log entry</th>
            <th scope="col">Streams cut</th>
          </tr>
        </thead>
        <tbody data-rows>
          ${sortedById(replicas).map((replica) => row(replica.state, replica))}
        </tbody>
      </table>
      ${(['live', 'silent', 'fenced'] as const).map(template)}
      <noscript><p class="small muted">Load the page again to see the current state.</p></noscript>
    </section>`;
}

export function showReplicas(context: AdminPageContext): void {
  sendAdminPage(context, {
    title: 'Replicas',
    section: 'replicas',
    read: { reason: 'replicas' },
    body: replicasBody(context.deps.guard.replicas, '/admin/api/v1/replicas'),
    scripts: ['replicas.js'],
  });
}
