/**
 * The result of a revocation: complete or not, and for each replica how many streams were cut and in how many
 * milliseconds.
 */
import type { ReplicaReceipt, RevocationResult } from '../../revocation/revocation.ts';
import { facts } from './card.ts';
import { html, type Html } from './html.ts';
import { table, type Column } from './table.ts';

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

/** What has ended. The end of a grant ends no session, and may be by its time, which no one revoked. */
type Ended = 'sessions' | 'grant';

const COMPLETE: Readonly<Record<Ended, string>> = {
  sessions: 'No replica accepts what you revoked any more.',
  grant: 'The grant gives nothing any more, at no replica.',
};

function verdict(result: RevocationResult, ended: Ended): Html {
  if (result.complete) {
    return html`<div class="notice ok">
      <p role="status"><strong>Complete.</strong> ${COMPLETE[ended]}</p>
    </div>`;
  }
  return html`<div class="notice warn">
    <p role="status">
      <strong>Written, and not yet confirmed by every replica.</strong> Still missing:
      ${(result.missing ?? []).join(', ')}.
    </p>
  </div>`;
}

const states: Readonly<Record<ReplicaReceipt['state'], { readonly style: string; readonly text: string }>> = {
  applied: { style: 'ok', text: 'applied' },
  pending: { style: 'warn', text: 'not confirmed yet' },
  fenced: { style: 'quiet', text: 'fenced: its lease has lapsed, so it rejects everything' },
};

const REPLICAS: readonly Column<ReplicaReceipt>[] = [
  { heading: 'Replica', cell: ({ id }) => id },
  {
    heading: 'State',
    cell: ({ state }) => html`<span class="state ${states[state].style}">${states[state].text}</span>`,
  },
  { heading: 'Streams cut', cell: ({ streamsClosed }) => streamsClosed ?? '–' },
  { heading: 'After', cell: ({ ms }) => (ms === undefined ? '–' : `${Math.round(ms)} ms`) },
];

/** Returns the delegated sessions that ended with it as one text; '' where there was none. */
export function delegatedText({ delegated = [], delegatedCount = delegated.length }: RevocationResult): string {
  const more = delegatedCount - delegated.length;
  return [...delegated.map(({ name }) => name), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

export function receipt(result: RevocationResult, ended: Ended = 'sessions'): Html {
  const delegated = delegatedText(result);
  return html`${verdict(result, ended)}
    <div class="card">
      ${facts([
        ended === 'sessions' && ['Sessions ended', result.sessions],
        delegated !== '' && ['Delegated sessions among them', delegated],
        ['Streams cut', result.streamsClosed],
        result.requestsWithdrawn !== undefined && ['Access requests withdrawn', result.requestsWithdrawn],
        ['Took', `${Math.round(result.elapsedMs)} ms`],
        ['At', html`<time datetime="${result.at}" data-seconds>${result.at}</time>`],
        ['Receipt', html`<code>${result.id}</code>`],
      ])}
    </div>
    <div class="card">
      ${table({
        columns: REPLICAS,
        rows: result.replicas,
        caption: html`<caption>
          ${plural(result.replicas.length, 'replica', 'replicas')}
        </caption>`,
      })}
    </div>`;
}
