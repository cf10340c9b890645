/** Audit events as lines of the audit page. `audit.js` draws those that come later in the same way. */
import type { History } from '../../audit/query/history.ts';
import type { AuditEvent } from '../../core/audit/event.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { grantsOf, isOpen, outcomeOf, whatOf, whoOf } from '../../core/audit/sentence.js';
import { accessHref } from '../page/access-text.ts';
import { html, type Html } from '../page/html.ts';
import { momentSeconds } from '../page/layout.ts';
import { shortId } from '../page/recent-requests.ts';
import { countOf } from './format.ts';
import { auditHref, receiptHref } from './links.ts';

/**
 * Returns the line of an event.
 * @param shown.whole with the event itself
 * @param shown.later true where its outcome may be later than what was searched
 */
export function eventLine(
  event: AuditEvent,
  { whole = false, later = false }: { readonly whole?: boolean; readonly later?: boolean } = {},
): Html {
  const { auditID, stage, stageTimestamp, sourceIPs, verb } = event;
  const open = isOpen(event) ? html`data-open` : html``;
  const { style, text } = outcomeOf(event, later);
  return html`<li class="line" data-event="${auditID} ${stage} ${verb}" ${open}>
    <div class="line-row">
      ${momentSeconds(stageTimestamp)}
      <span class="line-who">${whoOf(event)}</span>
      <span class="line-what">${whatOf(event)} ${grantMarks(event)} ${receiptMark(event)}</span>
      <span class="badge ${style}">${text}</span>
      <span class="small muted">${sourceIPs.join(', ')}</span>
      <a class="small" href="${auditHref(auditID)}">${shortId(auditID)}</a>
    </div>
    ${whole && html`<pre class="commands" tabindex="0">${JSON.stringify(event, undefined, 2)}</pre>`}
  </li>`;
}

/** Returns a mark for each grant that a request was made with. */
const grantMarks = (event: AuditEvent): Html =>
  html`${grantsOf(event).map((id) => html`<a class="badge" href="${accessHref(id)}">granted ${shortId(id)}</a>`)}`;

/** Returns the way to the receipt of a revocation, also from the proof that came later and from a reading of it. */
function receiptMark({ annotations }: AuditEvent): Html | false {
  const id = annotations[`${EXTRA_DOMAIN}/revocation`];
  return id !== undefined && html`<a class="badge" href="${receiptHref(id)}">receipt</a>`;
}

/** The template of one audit event that is shown live. */
export const eventTemplate = (): Html =>
  html`<template data-line>
    <li class="line">
      <details>
        <summary class="line-row">
          <time></time>
          <span class="line-who" data-text="who"></span>
          <span class="line-what" data-text="what"></span>
          <span class="badge" data-text="code"></span>
          <span class="small muted" data-text="from"></span>
          <span class="small" data-text="id"></span>
        </summary>
        <p class="small"><a data-link>All of this request</a></p>
        <pre class="commands" data-text="json"></pre>
      </details>
    </li>
  </template>`;

/**
 * Says whose files were searched, because an admin must know what is not here: nothing of it is in grey where a part is
 * missing.
 */
/** @returns whether all is known that was written at the time or later, milliseconds */
export const isReadBackTo = ({ reached }: Pick<History, 'reached'>, atMs: number): boolean =>
  reached === undefined || atMs > Date.parse(reached);

export function searchedText({ searched, missing = [] }: Pick<History, 'searched' | 'missing'>): Html | false {
  if (searched === undefined) return false;
  const count = `${searched.length} of ${countOf(searched.length + missing.length, 'replica')}`;
  return missing.length === 0
    ? html`<span class="state ok">${count}</span>`
    : html`<span class="state warn">${count}</span>
        <strong>What went through ${missing.join(', ')} is missing.</strong>`;
}
