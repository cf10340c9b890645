/**
 * What came of a revocation, for people: complete or not, on which replicas, how many streams, in how many milliseconds.
 */
import type { ReplicaReceipt, RevocationResult } from '../../revocation/revocation.ts';
import { html, type Html } from './html.ts';

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

function verdict(answer: RevocationResult): Html {
  if (answer.complete) {
    return html`<div class="notice ok">
      <p role="status"><strong>Complete.</strong> No replica accepts what you revoked any more.</p>
    </div>`;
  }
  return html`<div class="notice warn">
    <p role="status">
      <strong>Written, and still being proven.</strong> Every replica applies it, but these have not confirmed yet:
      ${(answer.missing ?? []).join(', ')}.
    </p>
  </div>`;
}

const states: Readonly<Record<ReplicaReceipt['state'], { readonly look: string; readonly words: string }>> = {
  applied: { look: 'ok', words: 'applied' },
  pending: { look: 'warn', words: 'not confirmed yet' },
  fenced: { look: 'quiet', words: 'fenced: silent for so long that it refuses everything' },
};

const replicaRow = (replica: ReplicaReceipt): Html =>
  html`<tr>
    <td data-label="Replica">${replica.id}</td>
    <td data-label="State"><span class="state ${states[replica.state].look}">${states[replica.state].words}</span></td>
    <td data-label="Streams cut">${replica.streamsClosed ?? '–'}</td>
    <td data-label="After">${replica.ms === undefined ? '–' : `${Math.round(replica.ms)} ms`}</td>
  </tr>`;

export function receipt(answer: RevocationResult): Html {
  return html`${verdict(answer)}
    <div class="card">
      <dl class="facts">
        <dt>Sessions ended</dt>
        <dd>${answer.sessions}</dd>
        <dt>Streams cut</dt>
        <dd>${answer.streamsClosed}</dd>
        <dt>Took</dt>
        <dd>${Math.round(answer.elapsedMs)} ms</dd>
        <dt>At</dt>
        <dd><time datetime="${answer.at}" data-seconds>${answer.at}</time></dd>
        <dt>Receipt</dt>
        <dd><code>${answer.id}</code></dd>
      </dl>
    </div>
    <div class="card">
      <table>
        <caption>
          ${plural(answer.replicas.length, 'replica', 'replicas')}
        </caption>
        <thead>
          <tr>
            <th scope="col">Replica</th>
            <th scope="col">State</th>
            <th scope="col">Streams cut</th>
            <th scope="col">After</th>
          </tr>
        </thead>
        <tbody>
          ${answer.replicas.map(replicaRow)}
        </tbody>
      </table>
    </div>`;
}
