/** Checks of several audit settings together: a policy that would hide something, sinks that conflict. */
import { hiddenBeyondQuiet, type AuditRule } from '../core/audit/policy.ts';
import { isMapping, items, textAt, texts, valueAt, type ValidationErrors } from './document.ts';

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
export const rejectedPathOf = (path: string): string | undefined =>
  path.startsWith('/dev/') ? undefined : `${path}.rejected`;

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
