/**
 * `/admin/revocations/:id`: a revocation's receipt.
 */
import type { ReplicaReceipt, RevocationResult } from '../../revocation/revocation.ts';
import { html, type Html } from '../page/html.ts';
import { rfc3339 } from '../../core/time.ts';
import { byName, counted, spanOfMs } from './format.ts';
import { AdminError } from '../../admin/problem.ts';
import { auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';

type State = ReplicaReceipt['state'];

const STATES: Readonly<Record<State, { readonly look: string; readonly words: string }>> = {
  applied: { look: 'ok', words: 'applied' },
  pending: { look: 'warn', words: 'not confirmed yet' },
  fenced: { look: 'quiet', words: 'fenced: silent for so long that it refuses everything' },
};

/** A row with its values; without a receipt the empty one that the script fills. */
const row = (state: State, receipt?: ReplicaReceipt): Html =>
  html`<tr>
    <td class="main" data-label="Replica"><span data-text="id">${receipt?.id ?? ''}</span></td>
    <td data-label="State"><span class="state ${STATES[state].look}">${STATES[state].words}</span></td>
    <td data-label="Streams cut"><span data-text="streams">${receipt?.streamsClosed ?? '–'}</span></td>
    <td data-label="After"><span data-text="after">${receipt?.ms === undefined ? '–' : spanOfMs(receipt.ms)}</span></td>
  </tr>`;

const template = (state: State): Html => html`<template data-row="${state}">${row(state)}</template>`;

function verdict(answer: RevocationResult): Html {
  const notice = (complete: boolean, words: Html): Html =>
    answer.complete === complete
      ? html`<div data-complete="${String(complete)}">${words}</div>`
      : html`<div data-complete="${String(complete)}" hidden>${words}</div>`;
  const proven = html`<div class="notice ok">
    <p><strong>Complete.</strong> No replica accepts what you revoked any more.</p>
  </div>`;
  const open = html`<div class="notice warn">
    <p>
      <strong>Written, and being proven.</strong> Every replica applies it; these have not confirmed yet:
      <span data-text="missing">${(answer.missing ?? []).join(', ')}</span>.
    </p>
  </div>`;
  return html`<div role="status">${notice(true, proven)}${notice(false, open)}</div>`;
}

function figures(answer: RevocationResult): Html {
  const figure = (name: string, value: string | number, words: string): Html =>
    html`<div class="figure">
      <dt>${words}</dt>
      <dd data-text="${name}">${value}</dd>
    </div>`;
  return html`<dl class="figures">
    ${figure('sessions', answer.sessions, 'Sessions ended')}
    ${figure('streamsClosed', answer.streamsClosed, 'Streams cut')}
    ${figure('elapsed', spanOfMs(answer.elapsedMs), 'Took')}
  </dl>`;
}

function replicasCard(answer: RevocationResult): Html {
  return html`<section class="card" aria-labelledby="replicas">
    <div class="card-head">
      <h2 id="replicas">Receipts of <span data-text="replicas">${counted(answer.replicas.length, 'replica')}</span></h2>
      ${!answer.complete && html`<span class="live" data-connection hidden></span>`}
    </div>
    <table>
      <thead>
        <tr>
          <th scope="col">Replica</th>
          <th scope="col">State</th>
          <th scope="col">Streams cut</th>
          <th scope="col">After</th>
        </tr>
      </thead>
      <tbody data-rows>
        ${byName(answer.replicas).map((receipt) => row(receipt.state, receipt))}
      </tbody>
    </table>
    ${(['applied', 'pending', 'fenced'] as const).map(template)}
  </section>`;
}

/** What nobody's proof can say: whether the person is back tomorrow. */
function nextCard({ canSignInAgain }: RevocationResult, mayAct: boolean): Html {
  const again = html`<p>
    They can sign in again by themselves. To keep them out, lock the account, and disable it at the identity provider.
  </p>`;
  const not = html`<p>Their next sign-in has to prove anew who they are, or is refused by a lock.</p>`;
  return html`<section class="card" aria-labelledby="next">
    <h2 id="next">And now?</h2>
    ${canSignInAgain ? again : not}
    <div class="row">
      <a class="button" href="/admin">Back to all sessions</a>
      ${mayAct && canSignInAgain && html`<a class="button quiet" href="/admin/locks">Lock an account</a>`}
    </div>
  </section>`;
}

/**
 * @param answer as far as it is known now
 * @param live where more of it can be had, as server-sent events; undefined where there is nobody to ask any more
 */
export function receiptBody(answer: RevocationResult, live: string | undefined, mayAct: boolean): Html {
  const at = rfc3339(Math.floor(Date.parse(answer.at) / 1000));
  const content = html`${verdict(answer)} ${figures(answer)} ${replicasCard(answer)}`;
  return html`<h1>Revocation</h1>
    <p class="lead">Begun <time datetime="${at}">${at}</time>, receipt <code>${answer.id}</code>.</p>
    ${live === undefined || answer.complete ? content : html`<div data-live="${live}">${content}</div>`}
    ${nextCard(answer, mayAct)}`;
}

/** While a proof is on its way it takes seconds at most; what is late then is late by a replica's or a follower's doing. */
const SOON_MS = 15_000;

/** Shows what is known of it, on whichever replica. @throws AdminError `revocation_not_found` */
export async function showReceipt(context: AdminPageContext): Promise<void> {
  const { service, deps, req } = context;
  const id = String(req.params['id']);
  const answer = await service.results.find(id);
  if (answer === undefined) {
    const words = 'No revocation of this id is known from the last ten minutes. The record has it for good.';
    throw new AdminError('revocation_not_found', 'not_found', words);
  }
  auditRead(context, 'revocation', { revocation: answer.id });
  const age = deps.clock.now() - Date.parse(answer.at);
  sendAdminPage(context, {
    title: answer.complete ? 'Revocation complete' : 'Revocation under way',
    section: 'sessions',
    body: receiptBody(answer, `/admin/api/v1/revocations/${encodeURIComponent(answer.id)}`, context.mayAct),
    ...(answer.complete ? {} : { scripts: ['receipt.js'], refreshSeconds: age < SOON_MS ? 1 : 5 }),
  });
}
