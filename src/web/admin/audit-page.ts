/**
 * `/admin/audit`: the live view of the audit log. `audit.js` reads the stream of the admin API, which authorizes
 * and audits each connection, and adds the events to this page.
 */
import { PORTCULLIS_EVENTS } from '../../core/audit/catalogue.ts';
import { html, type Html } from '../page/html.ts';
import { queryString } from './links.ts';
import { selectField } from './form-fields.ts';
import { parameter } from '../page/response.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';

const AUDIT_FIELDS = [
  'user',
  'account',
  'session',
  'cluster',
  'verb',
  'resource',
  'namespace',
  'event',
  'refused',
] as const;

/** The filters of the URL, unchanged; empty ones are left out. */
type AuditFilters = { readonly [F in (typeof AUDIT_FIELDS)[number]]?: string };

interface AuditPage {
  readonly shown: AuditFilters;
  readonly clusters: readonly string[];
  /** False where this server has no live view of the audit log. */
  readonly live: boolean;
}

const textField = (name: keyof AuditFilters, label: string, shown: AuditFilters, placeholder: string): Html =>
  html`<div class="field">
    <label for="${name}">${label}</label>
    <input
      type="text"
      id="${name}"
      name="${name}"
      value="${shown[name] ?? ''}"
      maxlength="512"
      placeholder="${placeholder}"
      autocomplete="off"
      spellcheck="false"
    />
  </div>`;

const EVENTS = [['', 'Any'], ...Object.keys(PORTCULLIS_EVENTS).map((name) => [name, name] as const)] as const;

function rejectedBox({ refused }: AuditFilters): Html {
  const box =
    refused === 'true'
      ? html`<input type="checkbox" name="refused" value="true" checked />`
      : html`<input type="checkbox" name="refused" value="true" />`;
  return html`<div class="field tick">
    <label class="check">${box} <span>Rejected only</span></label>
  </div>`;
}

function filters({ shown, clusters }: AuditPage): Html {
  const names = [['', 'Any'], ...clusters.map((name) => [name, name] as const)] as const;
  return html`<form class="filters card" method="get" action="/admin/audit" role="search" aria-label="Audit log">
    ${textField('user', 'Username', shown, 'corp:alice')} ${textField('account', 'Account', shown, 'corp/alice')}
    ${textField('session', 'Session', shown, 'its id')}
    ${selectField({ name: 'cluster', label: 'Cluster', options: names, chosen: shown.cluster })}
    ${textField('verb', 'Verb', shown, 'delete')} ${textField('resource', 'Resource', shown, 'pods/exec')}
    ${textField('namespace', 'Namespace', shown, 'payments')}
    ${selectField({ name: 'event', label: 'Portcullis event', options: EVENTS, chosen: shown.event })}
    ${rejectedBox(shown)}
    <button class="button">Apply</button>
    ${Object.keys(shown).length > 0 && html`<a class="button quiet" href="/admin/audit">Clear</a>`}
  </form>`;
}

/** The template of one audit event. The script copies it for each event. */
const eventTemplate = (): Html =>
  html`<template data-line>
    <li class="line">
      <details>
        <summary>
          <time></time>
          <span class="line-who" data-text="who"></span>
          <span class="line-what" data-text="what"></span>
          <span class="badge" data-text="code"></span>
          <span class="small muted" data-text="from"></span>
        </summary>
        <pre class="commands" data-text="json"></pre>
      </details>
    </li>
  </template>`;

const gapTemplate = (): Html =>
  html`<template data-gap>
    <li class="line gap"><span class="state warn" data-text="why"></span></li>
  </template>`;

/** The messages for gaps, which the script reads from `data-messages`, so that all texts are in this file. */
const gapMessages = JSON.stringify({
  too_old: 'Events may be missing here: the live view does not reach back so far.',
  replica_late: 'Events may be missing here: a replica has not confirmed yet that it sends its events.',
  dropped: 'Events may be missing here: a replica had more events than it could send.',
  too_slow: 'Events may be missing here: this page read them too slowly.',
  lost: 'Events may be missing here: the connection was interrupted for too long.',
});

const COMMAND_OPTIONS: Readonly<Record<keyof AuditFilters, string>> = {
  user: '--user',
  account: '--account',
  session: '--session',
  cluster: '--cluster',
  verb: '--verb',
  resource: '--resource',
  namespace: '--namespace',
  event: '--event',
  refused: '--refused',
};

/** Returns a value quoted for a shell, so that nothing in it is more than text. */
const shellQuoted = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`;

function command(shown: AuditFilters): string {
  const options = AUDIT_FIELDS.filter((name) => shown[name] !== undefined).map((name) =>
    name === 'refused' ? COMMAND_OPTIONS[name] : `${COMMAND_OPTIONS[name]} ${shellQuoted(shown[name] ?? '')}`,
  );
  return ['portcullis audit tail', ...options].join(' ');
}

const stream = ({ shown }: AuditPage): Html =>
  html`<section
    class="card"
    aria-labelledby="lines"
    data-live="/admin/api/v1/audit${queryString(shown)}"
    data-messages="${gapMessages}"
  >
    <div class="card-head">
      <h2 id="lines">Events</h2>
      <div class="row">
        <span class="live" data-connection role="status" hidden></span>
        <button class="button quiet compact" type="button" data-pause hidden>Pause</button>
      </div>
    </div>
    <p class="small muted" data-count></p>
    <p class="visually-hidden" role="status" data-announcement></p>
    <ol class="record" data-lines reversed></ol>
    <p class="empty" data-empty hidden>No matching event yet. Events from before you opened this page are not shown.</p>
    ${eventTemplate()} ${gapTemplate()}
    <noscript>
      <p>The live view needs JavaScript. The command line shows the same events:</p>
      <pre class="commands">${command(shown)}</pre>
    </noscript>
  </section>`;

function auditBody(content: AuditPage): Html {
  return html`<h1>Audit log</h1>
    <p class="lead">
      What users do in the clusters and what Portcullis does, from all replicas, as it is written. That you watch it is
      audited too.
    </p>
    ${filters(content)}
    ${
      content.live
        ? stream(content)
        : html`<p class="empty">
            This server has no live view of its audit log. The sinks in its configuration receive the events.
          </p>`
    }`;
}

function filtersOf(query: Readonly<Record<string, unknown>>): AuditFilters {
  const fields = AUDIT_FIELDS.map((name) => [name, parameter(query[name])?.trim() ?? ''] as const);
  return Object.fromEntries(fields.filter(([, value]) => value !== ''));
}

export function showAudit(context: AdminPageContext): void {
  const { deps, req } = context;
  const live = deps.tails !== undefined;
  sendAdminPage(context, {
    title: 'Audit log',
    section: 'audit',
    body: auditBody({ shown: filtersOf(req.query), clusters: deps.config.clusters.map(({ name }) => name), live }),
    scripts: live ? ['audit.js'] : [],
  });
}
