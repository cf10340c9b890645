/**
 * `/admin/replicas`.
 */
import type { ReplicaView } from '../../revocation/revocation.ts';
import { html, type Html } from '../page/html.ts';
import { byName, spanOfMs } from './format.ts';
import { auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';

type State = ReplicaView['state'];

const STATES: Readonly<Record<State, { readonly look: string; readonly words: string; readonly lease: string }>> = {
  live: { look: 'ok', words: 'serving', lease: 'fresh: it knows every revocation' },
  silent: { look: 'warn', words: 'silent', lease: 'run out: it refuses everything until it is heard of again' },
  fenced: { look: 'bad', words: 'fenced', lease: 'lost: it refuses everything and has cut what was open' },
};

function row(state: State, replica?: ReplicaView): Html {
  const { look, words, lease } = STATES[state];
  const self = html`<span class="badge" data-when="self">answers you</span>`;
  const notSelf = html`<span class="badge" data-when="self" hidden>answers you</span>`;
  return html`<tr>
    <td class="main" data-label="Replica">
      <span><span data-text="id">${replica?.id ?? ''}</span> ${replica?.self === true ? self : notSelf}</span>
    </td>
    <td data-label="State"><span class="state ${look}">${words}</span></td>
    <td data-label="Lease">${lease}</td>
    <td data-label="Seen">
      <span data-text="seen">${replica === undefined ? '' : `${spanOfMs(replica.seenMsAgo)} ago`}</span>
    </td>
    <td data-label="Log entry"><span data-text="number">${replica?.number ?? ''}</span></td>
    <td data-label="Streams cut"><span data-text="streamsCut">${replica?.streamsCut ?? ''}</span></td>
  </tr>`;
}

const template = (state: State): Html => html`<template data-row="${state}">${row(state)}</template>`;

/** @param live where changes are told, as server-sent events */
function replicasBody(replicas: readonly ReplicaView[], live: string): Html {
  return html`<h1>Replicas</h1>
    <p class="lead">
      A replica serves while its lease is fresh, and a lease is fresh while it has read every entry of the revocation
      log.
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
            <th scope="col">Seen</th>
            <th scope="col">Log entry</th>
            <th scope="col">Streams cut</th>
          </tr>
        </thead>
        <tbody data-rows>
          ${byName(replicas).map((replica) => row(replica.state, replica))}
        </tbody>
      </table>
      ${(['live', 'silent', 'fenced'] as const).map(template)}
      <noscript><p class="small muted">Load the page again to see how they are now.</p></noscript>
    </section>`;
}

export function showReplicas(context: AdminPageContext): void {
  auditRead(context, 'replicas');
  sendAdminPage(context, {
    title: 'Replicas',
    section: 'replicas',
    body: replicasBody(context.deps.guard.replicas, '/admin/api/v1/replicas'),
    scripts: ['replicas.js'],
  });
}
