#!/usr/bin/env node
/**
 * Finds requests that reached the API server without Portcullis: compares its audit log with Portcullis' and prints each request that Portcullis' service
 * account made there and that Portcullis did not log, and each of an identity that is neither that account nor one of the cluster's own. Node 20
 * or newer, no packages. docs/runbooks/unissued-impersonation.md, docs/runbooks/proxy-bypassed.md.
 *
 *   node unissued-audit-ids.mjs --service-account system:serviceaccount:portcullis:portcullis --cluster prod \
 *     --portcullis audit.log --portcullis audit.log.1.gz --api-server kube-audit.log [--live] [--expected eks:] [--settle 120] [--textfile portcullis.prom]
 *
 * `--live`: the `--portcullis` files are those that Portcullis writes now, and no copies, so they are complete up to the moment they are read. An idle
 * Portcullis writes nothing: without this, what comes after its last line is judged only after its next request.
 * `--expected`, once or more: prefixes of the names of your cloud's components that may connect without Portcullis.
 *
 * Prints one JSON object a line. Exit status: 0 none found, 1 some found, 2 wrong use or a file that cannot be read.
 */
import { open, rename, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { createGunzip } from 'node:zlib';

/** Allowed reads that Portcullis does not log. They say nothing about any user. */
const UNRECORDED = /^\/(livez|readyz|version|openapi)(\/|\?|$)/;
const OWN_QUESTIONS = new Set([
  'authorization.k8s.io/subjectaccessreviews',
  // About its own legacy right, where `clusters[].impersonate.constrained` is set.
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authentication.k8s.io/tokenreviews',
]);

async function* lines(file) {
  const raw = (await open(file)).createReadStream();
  const input = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
  raw.on('error', (error) => input.destroy(error));
  input.setEncoding('utf8');
  let rest = '';
  for await (const chunk of input) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop();
    yield* parts;
  }
  yield rest;
}

/** What is no event is passed over: logs are cut anywhere. */
async function* events(file) {
  for await (const line of lines(file)) {
    try {
      const event = JSON.parse(line);
      if (typeof event === 'object' && event !== null && typeof event.auditID === 'string') yield event;
    } catch {
      continue;
    }
  }
}

const moment = (text) => Date.parse(text ?? '') / 1000;

/**
 * By audit id, the user as whom Portcullis made each request, and whether it answered with an error; and the period that its audit log covers.
 * @param asked the ids that matter: a day of a busy server has more than fit into memory
 */
async function issuedBy(files, asked) {
  const issued = new Map();
  let from = Infinity;
  let until = -Infinity;
  for (const file of files) {
    for await (const event of events(file)) {
      if (asked.has(event.auditID)) {
        const failed = event.responseStatus?.code >= 400 || issued.get(event.auditID)?.failed === true;
        issued.set(event.auditID, { username: (event.impersonatedUser ?? event.user)?.username, failed });
      }
      from = Math.min(from, moment(event.requestReceivedTimestamp) || Infinity);
      until = Math.max(until, moment(event.stageTimestamp) || -Infinity);
    }
  }
  return { issued, from, until };
}

/** True for the only requests that Portcullis makes as itself. */
const isOwnQuestion = ({ objectRef, verb }) =>
  verb === 'create' &&
  objectRef?.subresource === undefined &&
  OWN_QUESTIONS.has(`${objectRef?.apiGroup}/${objectRef?.resource}`);

/** @returns {string | undefined} what is wrong with a request that Portcullis' service account made as a user */
function mismatch({ auditID, impersonated, verb, requestURI }, issued) {
  // Denied before it was anyone's: with `clusters[].impersonate.constrained: read`, each write of a user is.
  if (impersonated === undefined) return issued.get(auditID)?.failed === true ? undefined : 'acted_as_itself';
  // The head of the API server's answer carries the id, so who copies the token may have seen some.
  if (issued.has(auditID))
    return issued.get(auditID)?.username === impersonated ? undefined : 'audit_id_of_another_user';
  return verb === 'get' && UNRECORDED.test(requestURI) ? undefined : 'audit_id_not_issued';
}

/** An administrator that some distributions make; every other `system:` name is the cluster's own. */
const ADMINISTRATOR = 'system:admin';

/** True for a name that is neither Portcullis' nor the cluster's own: a user who bypassed Portcullis. */
const isBypass = (name, expected) =>
  name !== undefined &&
  name !== '' &&
  (name === ADMINISTRATOR || !name.startsWith('system:')) &&
  !expected.some((prefix) => name.startsWith(prefix));

/** @returns what is wrong in the API server's log whatever Portcullis' log has, and what has to be looked up there, by audit id */
async function reached(files, { account, expected }) {
  const wrong = new Map();
  const asked = new Map();
  let newest = -Infinity;
  for (const file of files) {
    for await (const event of events(file)) {
      newest = Math.max(newest, moment(event.requestReceivedTimestamp) || -Infinity);
      const name = event.user?.username;
      if (name !== account) {
        if (isBypass(name, expected)) wrong.set(event.auditID, { wrong: 'bypassed_the_proxy', ...shown(event) });
      } else if (event.impersonatedUser === undefined && event.responseStatus?.code !== 403) {
        if (!isOwnQuestion(event)) wrong.set(event.auditID, { wrong: 'acted_as_itself', ...shown(event) });
      } else if (event.impersonatedUser !== undefined || !isOwnQuestion(event)) {
        // Anyone who makes up an id may use it twice: each request is judged by itself.
        if (!asked.has(event.auditID)) asked.set(event.auditID, []);
        asked.get(event.auditID).push(shown(event));
      }
    }
  }
  return { wrong, asked, newest };
}

async function compare({ account, expected, portcullis, apiServer, settle, live }) {
  const { wrong, asked, newest } = await reached(apiServer, { account, expected });
  const now = Date.now() / 1000;
  const { issued, from, until } = await issuedBy(portcullis, asked);
  // The two logs do not end at the same moment: what is too young to stand in both is judged next time.
  const judgedUntil = Math.min(newest, live ? now : until) - settle;
  for (const request of [...asked.values()].flat()) {
    const found = mismatch(request, issued);
    const at = moment(request.at);
    const judged = found === 'audit_id_of_another_user' || (at >= from && at <= judgedUntil);
    if (found !== undefined && judged && !wrong.has(request.auditID)) {
      wrong.set(request.auditID, { wrong: found, ...request });
    }
  }
  return { findings: [...wrong.values()], judgedUntil };
}

const shown = (event) => ({
  auditID: event.auditID,
  at: event.requestReceivedTimestamp,
  user: event.user?.username,
  verb: event.verb,
  requestURI: event.requestURI ?? '',
  impersonated: event.impersonatedUser?.username,
  sourceIPs: event.sourceIPs,
  userAgent: event.userAgent,
});

/** For node_exporter's textfile collector; renamed into place, so that it never reads half of it. */
async function writeTextfile(path, cluster, { findings, judgedUntil }) {
  const labels = `{cluster=${JSON.stringify(cluster)}}`;
  const bypasses = findings.filter(({ wrong }) => wrong === 'bypassed_the_proxy').length;
  const lines = [
    '# HELP portcullis_unissued_audit_ids Requests of the service account of Portcullis that Portcullis did not make.',
    '# TYPE portcullis_unissued_audit_ids gauge',
    `portcullis_unissued_audit_ids${labels} ${findings.length - bypasses}`,
    '# HELP portcullis_proxy_bypasses Requests of users who reached the API server without Portcullis.',
    '# TYPE portcullis_proxy_bypasses gauge',
    `portcullis_proxy_bypasses${labels} ${bypasses}`,
    '# HELP portcullis_unissued_check_timestamp_seconds Up to when both records were compared, epoch seconds.',
    '# TYPE portcullis_unissued_check_timestamp_seconds gauge',
    `portcullis_unissued_check_timestamp_seconds${labels} ${Number.isFinite(judgedUntil) ? judgedUntil : 0}`,
  ];
  await writeFile(`${path}.new`, `${lines.join('\n')}\n`);
  await rename(`${path}.new`, path);
}

async function main() {
  const { values } = parseArgs({
    options: {
      'service-account': { type: 'string' },
      cluster: { type: 'string', default: '' },
      portcullis: { type: 'string', multiple: true },
      'api-server': { type: 'string', multiple: true },
      expected: { type: 'string', multiple: true, default: [] },
      live: { type: 'boolean', default: false },
      settle: { type: 'string', default: '120' },
      textfile: { type: 'string' },
    },
  });
  const { 'service-account': account, expected, portcullis, 'api-server': apiServer, cluster, live, textfile } = values;
  const settle = Number(values.settle);
  if (account === undefined || portcullis === undefined || apiServer === undefined || !(settle >= 0)) {
    throw new Error(
      'name --service-account, at least one --portcullis FILE and one --api-server FILE; --settle is in seconds',
    );
  }
  // Every name begins with it, so every bypass would be expected.
  if (expected.includes('')) throw new Error('--expected wants how names begin, such as eks:');
  const outcome = await compare({ account, expected, portcullis, apiServer, settle, live });
  for (const finding of outcome.findings) process.stdout.write(`${JSON.stringify(finding)}\n`);
  if (textfile !== undefined) await writeTextfile(textfile, cluster, outcome);
  return outcome.findings.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error) => {
  process.stderr.write(`unissued-audit-ids: ${error.message}\n`);
  return 2;
});
