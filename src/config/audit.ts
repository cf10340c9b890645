/**
 * The audit log (`audit`): the settings, and checks of several of them together: a policy that would hide something,
 * sinks that conflict.
 */
import * as z from 'zod';
import { defined } from '../core/defined.ts';
import { hiddenBeyondQuiet, type AuditRule } from '../core/audit/policy.ts';
import { isMapping, items, textAt, texts, valueAt, type ValidationErrors } from './document.ts';
import { proxied } from './outbound.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { duration, integer, longDuration, text, webhookUrl } from './values.ts';

const stdoutSink = section({
  type: z.literal('stdout').meta({
    text: '`stdout`, `file` or `webhook`. The settings below are for `file` down to `rejectedPath`, then for `webhook`.',
  }),
});

const fileSettings = section({
  type: z.literal('file'),
  path: file('written').meta({ text: 'The file that is written.' }),
  maxSizeMb: integer(1, 100_000).exactOptional().meta({
    text: 'A new file begins at this size. Neither this nor `rotateEvery`: it is not rotated here (logrotate may do it).',
  }),
  rotateEvery: duration('1m', '8760h').exactOptional().meta({ text: 'A new file begins at this age.' }),
  keep: z
    .union([integer(1, 10_000), longDuration('1h', '36500d').transform((seconds) => ({ seconds }))], {
      error: 'how many files, from 1 to 10000, or for how long, such as 30d',
    })
    .exactOptional()
    .meta({
      text: 'How many old files are kept besides the one that is written, or for how long each is kept (`30d`), whatever their size. Older ones are removed.',
      default: '`10`',
    }),
  gzip: z
    .boolean({ error: 'true or false' })
    .exactOptional()
    .meta({ text: 'Whether old files are compressed.', default: '`true`' }),
  fsync: z
    .enum(['never', 'interval', 'always'], {
      error: 'never, interval (once a second) or always (before an event counts as written)',
    })
    .exactOptional()
    .meta({ text: 'When the file is synced to the disk.', default: '`interval`' }),
  rejectedPath: file('written').exactOptional().meta({
    text: 'The file for events of requests without a valid credential, in a chain of their own. [Requests without a good credential](../audit.md#requests-without-a-good-credential).',
    default: '`path` with `.rejected` behind it',
  }),
});

const fileSink = fileSettings.transform(({ path, rejectedPath = rejectedPathOf(path), ...rest }) => ({
  ...rest,
  path,
  ...defined({ rejectedPath }),
}));

const webhookSink = section({
  type: z.literal('webhook'),
  url: webhookUrl.meta({
    text: 'Gets an `EventList` of `audit.k8s.io/v1` by POST, as kube-apiserver sends it. Redirects are not followed.',
  }),
  caFile: file().exactOptional().meta({
    text: 'The CAs that verify the collector, in PEM. Read for each delivery, as are the three below.',
    default: "the system's CAs",
  }),
  certFile: file().exactOptional().meta({ text: 'A client certificate, in PEM; with `keyFile`.' }),
  keyFile: file('key').exactOptional().meta({ text: 'Its private key, in PEM.' }),
  tokenFile: file('secret')
    .exactOptional()
    .meta({ text: 'A bearer token for the collector.', default: 'no bearer token' }),
  ...proxied(
    'The proxy of this webhook alone, as `providers[].proxy`.',
    '`NAME:PASSWORD` for that proxy. Read for each delivery.',
  ),
  spoolDir: file('made').exactOptional().meta({
    text: 'Where events wait that could not be delivered, over a restart too: a folder that no other process uses. Without it they wait in memory only.',
  }),
  spoolMaxMb: integer(1, 1_000_000)
    .exactOptional()
    .meta({ text: 'How large that folder may become. When it is full, `audit.onFailure` decides.', default: '`256`' }),
});

const sink = z.discriminatedUnion('type', [stdoutSink, fileSink, webhookSink], {
  error: 'a sink: { type: stdout }, { type: file, path: … } or { type: webhook, url: … }',
});

const names = (of: string) => list(text(`one of the ${of}`), of).exactOptional();

/** As in Kubernetes' audit policy. */
const auditRule = section({
  level: z
    .enum(['None', 'Metadata'], { error: 'None or Metadata: bodies are never recorded' })
    .meta({ text: '`None`: no event. `Metadata`: an event.' }),
  users: names('users').meta({ text: 'Usernames, with their prefix. Here and below: a rule without it matches all.' }),
  userGroups: names('groups').meta({ text: 'Groups, with their prefix.' }),
  verbs: names('verbs').meta({ text: 'Verbs, such as `get`.' }),
  resources: list(
    section({
      group: z
        .string({ error: 'an API group' })
        .exactOptional()
        .meta({ text: 'The API group; empty for the core group.' }),
      resources: names('resources').meta({ text: 'Resources of the group, such as `pods` or `pods/log`.' }),
      resourceNames: names('names of resources').meta({ text: 'Names of single objects.' }),
    }),
    'resources',
  )
    .exactOptional()
    .meta({ text: 'Resources of API groups.' }),
  namespaces: list(z.string({ error: 'a namespace' }), 'namespaces')
    .exactOptional()
    .meta({ text: 'Namespaces; empty for what is in none.' }),
  nonResourceURLs: names('paths').meta({ text: 'Paths, with `*` at their end for all below.' }),
  // Kubernetes has it in nearly every policy. It leaves nothing out: `writeAhead` decides which requests have that
  // stage.
  omitStages: list(
    z.literal('RequestReceived', {
      error: 'RequestReceived, which audit.writeAhead controls; no other stage is left out',
    }),
    'stages',
  )
    .exactOptional()
    .meta({ text: 'Accepted because most policies have it, but without effect: `audit.writeAhead` decides.' }),
});

export const audit = section({
  sinks: list(sink, 'sinks')
    .min(1, { error: 'at least one sink' })
    .prefault([{ type: 'stdout' }])
    .meta({ text: 'Where the audit log is written. [The audit log](../audit.md) has more.' }),
  policy: list(auditRule, 'rules, each with level').default([]).meta({
    text: 'Rules as in Kubernetes’ audit policy; the first that matches decides. Nothing but allowed reads of `/livez`, `/readyz`, `/version` and `/openapi` can be left out, and those are unless a rule of level `Metadata` matches them.',
  }),
  onFailure: z
    .enum(['block', 'count'], { error: 'block (serve nothing) or count (drop and count)' })
    .default('block')
    .meta({
      text: 'What happens while the audit log cannot be written. `block`: nothing is served. `count`: events are dropped and counted.',
    }),
  writeAhead: z
    .enum(['changes', 'off', 'sync'], {
      error:
        'changes (an event of each change is written before the API server gets it), sync (and is on the disk) or off',
    })
    .default('changes')
    .meta({
      text: 'What must be true before a request that may change something (or opens an exec, attach, port-forward or proxy) goes to the API server. `changes`: the kernel has a `RequestReceived` event of it. `sync`: the disk has it. `off`: nothing. [Before a change is made](../audit.md#before-a-change-is-made).',
    }),
  rejectionsPerMinute: integer(1, 100_000).default(60).meta({
    text: 'How many requests without a valid credential have their own event: from one address; ten times as many from all addresses together. The rest is counted, in events too.',
  }),
  execCommands: z
    .boolean({ error: 'true (exec’s commands are in the audit log) or false (they are counted)' })
    .default(false)
    .meta({
      text: 'Whether the audit log has the values of `command` (exec) and `cmd` (a kubelet’s own API). They sometimes contain passwords.',
    }),
}).prefault({});

/** Reads the document itself, so that an error elsewhere in the section hides none of these. */
export function checkAudit(root: unknown, errors: ValidationErrors): void {
  const audit = valueAt(root, ['audit']);
  items(audit, 'policy').forEach((rule, index) => {
    const hidden = isMapping(rule) && rule['level'] === 'None' ? hiddenBeyondQuiet(ruleOf(rule)) : undefined;
    if (hidden !== undefined) errors.add(['audit', 'policy', index, hidden.setting], hidden.expected);
  });
  const sinks = items(audit, 'sinks');
  sinks.forEach((sink, index) => {
    for (const [one, other] of [
      ['certFile', 'keyFile'],
      ['keyFile', 'certFile'],
    ] as const) {
      if (textAt(sink, one) === undefined || textAt(sink, other) !== undefined) continue;
      errors.add(['audit', 'sinks', index, other], `the path of a file, because ${one} is set`);
    }
    if (valueAt(sink, ['spoolMaxMb']) !== undefined && textAt(sink, 'spoolDir') === undefined) {
      errors.add(['audit', 'sinks', index, 'spoolDir'], 'the path of a directory, because spoolMaxMb is set');
    }
  });
  // Two sinks that wrote one file would each take the other's rotation for one from outside, and every line would
  // be there twice.
  const files = sinks.flatMap((sink, index) => filesOf(sink).map((place) => ({ index, ...place })));
  const spools = sinks.flatMap((sink, index) => {
    const path = textAt(sink, 'spoolDir');
    return path === undefined ? [] : [{ index, setting: 'spoolDir', path }];
  });
  for (const places of [files, spools]) {
    places.forEach(({ index, setting, path }, at) => {
      const first = places.findIndex((place) => place.path === path);
      if (first === at) return;
      const taken = `a path of its own: audit.sinks[${places[first]?.index}] has this one`;
      errors.add(['audit', 'sinks', index, setting], taken);
    });
  }
}

/** Returns the files that a sink writes, by the setting to change where two are the same. */
function filesOf(sink: unknown): readonly { readonly setting: string; readonly path: string }[] {
  const path = textAt(sink, 'path');
  if (path === undefined) return [];
  const given = textAt(sink, 'rejectedPath');
  const rejected = given ?? rejectedPathOf(path);
  const apart = given === undefined ? 'path' : 'rejectedPath';
  return [{ setting: 'path', path }, ...(rejected === undefined ? [] : [{ setting: apart, path: rejected }])];
}

/**
 * @returns the file beside `path` for rejections, where none is named; undefined for a device, beside which there
 *   can be none
 */
function rejectedPathOf(path: string): string | undefined {
  return path.startsWith('/dev/') ? undefined : `${path}.rejected`;
}

/** Reads as much of a rule as decides what it leaves out. */
function ruleOf(rule: Readonly<Record<string, unknown>>): AuditRule {
  const list = (key: string): readonly string[] => texts(valueAt(rule, [key]));
  const resources = valueAt(rule, ['resources']);
  return {
    level: 'None',
    verbs: list('verbs'),
    namespaces: list('namespaces'),
    nonResourceURLs: list('nonResourceURLs'),
    resources: Array.isArray(resources) ? resources.map(() => ({})) : [],
  };
}
