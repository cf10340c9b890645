/**
 * `/admin/audit`: the frame in which the live record is watched. The stream itself is the admin API's, which judges and records each opening.
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

/** What the URL asks for, as it says it; empty ones are not in it. */
type AuditShown = { readonly [F in (typeof AUDIT_FIELDS)[number]]?: string };

interface AuditPage {
  readonly shown: AuditShown;
  readonly clusters: readonly string[];
  /** False where this gate has no live view of its record. */
  readonly live: boolean;
}

const textField = (name: keyof AuditShown, label: string, shown: AuditShown, placeholder: string): Html =>
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

function refusedBox({ refused }: AuditShown): Html {
  const box =
    refused === 'true'
      ? html`<input type="checkbox" name="refused" value="true" checked />`
      : html`<input type="checkbox" name="refused" value="true" />`;
  return html`<div class="field tick">
    <label class="check">${box} <span>Refused only</span></label>
  </div>`;
}

function filters({ shown, clusters }: AuditPage): Html {
  const names = [['', 'Any'], ...clusters.map((name) => [name, name] as const)] as const;
  return html`<form class="filters card" method="get" action="/admin/audit" role="search" aria-label="Live record">
    ${textField('user', 'Username', shown, 'corp:alice')} ${textField('account', 'Account', shown, 'corp/alice')}
    ${textField('session', 'Session', shown, 'its id')}
    ${selectField({ name: 'cluster', label: 'Cluster', options: names, chosen: shown.cluster })}
    ${textField('verb', 'Verb', shown, 'delete')} ${textField('resource', 'Resource', shown, 'pods/exec')}
    ${textField('namespace', 'Namespace', shown, 'payments')}
    ${selectField({ name: 'event', label: 'Event of the gate', options: EVENTS, chosen: shown.event })}
    ${refusedBox(shown)}
    <button class="button">Show</button>
    ${Object.keys(shown).length > 0 && html`<a class="button quiet" href="/admin/audit">Clear</a>`}
  </form>`;
}

/** One line of the record. The script clones it; there is none on the page before the first has come. */
const lineTemplate = (): Html =>
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

/** Known by its place in `data-gap-messages`, so that the script has no words for them of its own. */
const gapWords = JSON.stringify({
  too_old: 'Lines may be missing here: the live record does not reach back so far.',
  replica_late: 'Lines may be missing here: a replica has not said yet that it shows its own.',
  dropped: 'Lines may be missing here: a replica had more than it could show.',
  too_slow: 'Lines may be missing here: this page took them too slowly.',
  lost: 'Lines may be missing here: the connection was away for too long.',
});

const COMMAND_OPTIONS: Readonly<Record<keyof AuditShown, string>> = {
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

/** For a shell: nothing in it is anything but text. */
const quoted = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`;

function command(shown: AuditShown): string {
  const options = AUDIT_FIELDS.filter((name) => shown[name] !== undefined).map((name) =>
    name === 'refused' ? COMMAND_OPTIONS[name] : `${COMMAND_OPTIONS[name]} ${quoted(shown[name] ?? '')}`,
  );
  return ['portcullis audit tail', ...options].join(' ');
}

const stream = ({ shown }: AuditPage): Html =>
  html`<section
    class="card"
    aria-labelledby="lines"
    data-live="/admin/api/v1/audit${queryString(shown)}"
    data-gap-messages="${gapWords}"
  >
    <div class="card-head">
      <h2 id="lines">Lines</h2>
      <div class="row">
        <span class="live" data-connection role="status" hidden></span>
        <button class="button quiet compact" type="button" data-pause hidden>Pause</button>
      </div>
    </div>
    <p class="small muted" data-count></p>
    <p class="visually-hidden" role="status" data-said></p>
    <ol class="record" data-lines reversed></ol>
    <p class="empty" data-empty hidden>Nothing has happened yet that fits. What happened before is not shown.</p>
    ${lineTemplate()} ${gapTemplate()}
    <noscript>
      <p>Watching the record in the browser takes a script. The command line shows the same:</p>
      <pre class="commands">${command(shown)}</pre>
    </noscript>
  </section>`;

function auditBody(content: AuditPage): Html {
  return html`<h1>Live record</h1>
    <p class="lead">
      What people do at the clusters and what the gate does, as it is written, on every replica at once. That you look
      is on the record too.
    </p>
    ${filters(content)}
    ${
      content.live
        ? stream(content)
        : html`<p class="empty">This gate keeps no live view of its record. The sinks in its configuration have it.</p>`
    }`;
}

function shownBy(query: Readonly<Record<string, unknown>>): AuditShown {
  const said = AUDIT_FIELDS.map((name) => [name, parameter(query[name])?.trim() ?? ''] as const);
  return Object.fromEntries(said.filter(([, value]) => value !== ''));
}

export function showAudit(context: AdminPageContext): void {
  const { deps, req } = context;
  const live = deps.tails !== undefined;
  sendAdminPage(context, {
    title: 'Live record',
    section: 'audit',
    body: auditBody({ shown: shownBy(req.query), clusters: deps.config.clusters.map(({ name }) => name), live }),
    scripts: live ? ['audit.js'] : [],
  });
}
