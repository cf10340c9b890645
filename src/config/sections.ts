/**
 * From a document to its sections, each parsed by itself: `undefined` where a section has an error, which is in
 * the list then.
 */
import type * as z from 'zod';
import type { ValidationErrors, Path, SourceDocument } from './document.ts';
import * as schema from './schema.ts';
import { unknownSettingMessage } from './section.ts';
import { origin } from './values.ts';

export type Sections = ReturnType<typeof parseSections>;

export function parseSections(document: SourceDocument, errors: ValidationErrors) {
  const { root } = document;
  for (const key of Object.keys(root)) {
    if (schema.TOP_LEVEL.some((known) => known === key)) continue;
    errors.add([key], unknownSettingMessage(key, schema.TOP_LEVEL), { show: false });
  }
  const section = <T extends z.ZodType>(key: string, type: T): z.output<T> | undefined =>
    parse(type, root[key], [key], errors);
  return {
    publicUrl: section('publicUrl', origin),
    listen: section('listen', schema.listen),
    store: section('store', schema.store),
    keys: section('keys', schema.keys),
    providers: items(root, 'providers', schema.provider, errors),
    clusters: items(root, 'clusters', schema.cluster, errors),
    consoles: root['consoles'] === undefined ? [] : items(root, 'consoles', schema.console, errors, 0),
    workload: root['workload'] === undefined ? [] : items(root, 'workload', schema.workload, errors, 0),
    outbound: section('outbound', schema.outbound),
    admin: section('admin', schema.admin),
    sessions: section('sessions', schema.sessions),
    delegation: section('delegation', schema.delegation),
    access: section('access', schema.access),
    stepUp: section('stepUp', schema.stepUp),
    revocation: section('revocation', schema.revocation),
    audit: section('audit', schema.audit),
    limits: section('limits', schema.limits),
    shutdown: section('shutdown', schema.shutdown),
    telemetry: section('telemetry', schema.telemetry),
    clockSkew: section('clockSkew', schema.clockSkew),
    contact: section('contact', schema.contact),
    ...(root['installUrl'] === undefined ? {} : { installUrl: section('installUrl', schema.installUrl) }),
  };
}

function items<T extends z.ZodType>(
  root: SourceDocument['root'],
  key: string,
  type: T,
  errors: ValidationErrors,
  least = 1,
): readonly (z.output<T> | undefined)[] {
  const list = root[key];
  if (!Array.isArray(list) || list.length < least) {
    errors.add(
      [key],
      least === 0
        ? `a list${key === 'workload' ? ' of workload rules' : ` of ${key}`}`
        : `a list of at least one of the ${key}`,
    );
    return [];
  }
  return list.map((item: unknown, index) => parse(type, item, [key, index], errors));
}

function parse<T extends z.ZodType>(
  type: T,
  value: unknown,
  base: Path,
  errors: ValidationErrors,
): z.output<T> | undefined {
  const outcome = type.safeParse(value);
  if (outcome.success) return outcome.data;
  for (const issue of outcome.error.issues) {
    const path = [...base, ...issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))];
    if (issue.code === 'unrecognized_keys') {
      const message = issue.message.split('\n');
      // The value of an unknown key is not shown: it may be a secret in place of a file's name.
      issue.keys.forEach((key, index) =>
        errors.add([...path, key], message[index] ?? 'no such setting', { show: false }),
      );
    } else {
      errors.add(path, issue.message);
    }
  }
  return undefined;
}
