/** Audit events as lines of the audit page. `audit.js` draws those that come later in the same way. */
import type { AuditEvent } from '../../core/audit/event.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { accessHref } from '../page/access-text.ts';
import { html, type Html } from '../page/html.ts';
import { momentSeconds } from '../page/layout.ts';
import { shortId } from '../page/recent-requests.ts';
import { auditHref } from './links.ts';

const factOf = ({ annotations }: AuditEvent, name: string): string | undefined =>
  annotations[`${EXTRA_DOMAIN}/${name}`];

/**
 * Returns `demo:root as demo:alice` where the user acted, or wanted to act, as another one, and `demo:alice via claude`
 * where they did so through a delegated session.
 */
function userOf(event: AuditEvent): string {
  const { user, impersonatedUser } = event;
  const name = user.username ?? '';
  const as = impersonatedUser?.username ?? '';
  // A user who delegates does so themselves: the actor of such an event is whom the session is for.
  const actor = factOf(event, 'event') === 'delegated' ? '' : (factOf(event, 'actor') ?? '');
  const through = actor === '' ? '' : ` via ${actor}`;
  return `${name === '' ? 'unknown user' : name}${through}${as === '' ? '' : ` as ${as}`}`;
}

const joined = (parts: readonly (string | undefined)[], by = ' '): string =>
  parts.filter((part) => part !== undefined && part !== '').join(by);

/** Returns the action of an event: `get pods/exec web-0 -n default @prod`, or what Portcullis did and its target. */
function actionOf(event: AuditEvent): string {
  const { verb, objectRef: ref, requestURI } = event;
  const reason = factOf(event, 'reason');
  const why = reason === undefined ? '' : `[${reason}]`;
  if (factOf(event, 'event') !== undefined) return joined([verb, factOf(event, 'target'), why]);
  const resource = ref?.resource === undefined ? requestURI : joined([ref.resource, ref.subresource], '/');
  const cluster = factOf(event, 'cluster');
  return joined([
    verb,
    resource,
    ref?.name,
    ref?.namespace === undefined ? '' : `-n ${ref.namespace}`,
    cluster === undefined ? '' : `@${cluster}`,
    why,
  ]);
}

/** The outcome of a stream that is open, and of a request without a response, is still to come. */
const isOpen = ({ stage }: AuditEvent): boolean => stage === 'ResponseStarted' || stage === 'RequestReceived';

/** @param later where later events than this one's range were not searched, and may have the outcome */
function outcomeOf(event: AuditEvent, later: boolean): Html {
  const code = event.responseStatus?.code ?? 0;
  if (event.stage === 'RequestReceived')
    return later ? html`<span class="badge quiet">begun</span>` : html`<span class="badge warn">no outcome</span>`;
  const style = code >= 500 ? 'warn' : code >= 400 ? 'bad' : 'ok';
  return html`<span class="badge ${style}">${code}${isOpen(event) && ' open'}</span>`;
}

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
  return html`<li class="line" data-event="${auditID} ${stage} ${verb}" ${open}>
    <div class="line-row">
      ${momentSeconds(stageTimestamp)}
      <span class="line-who">${userOf(event)}</span>
      <span class="line-what">${actionOf(event)} ${grantMarks(event)}</span>
      ${outcomeOf(event, later)}
      <span class="small muted">${sourceIPs.join(', ')}</span>
      <a class="small" href="${auditHref(auditID)}">${shortId(auditID)}</a>
    </div>
    ${whole && html`<pre class="commands" tabindex="0">${JSON.stringify(event, undefined, 2)}</pre>`}
  </li>`;
}

/** Returns a mark for each grant that a request was made with; nothing for what is about a request for one. */
function grantMarks(event: AuditEvent): Html | false {
  const ids = factOf(event, 'event') === undefined ? factOf(event, 'grant-id') : undefined;
  if (ids === undefined) return false;
  return html`${ids.split(' ').map((id) => html`<a class="badge" href="${accessHref(id)}">granted ${shortId(id)}</a>`)}`;
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
