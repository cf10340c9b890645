/**
 * Decides whether a field selector asks for exactly one object by name.
 *
 * Grammar as in Kubernetes: terms `field=value`, `field==value`, `field!=value`, joined by commas; `\\`, `\,` and
 * `\=` are escapes.
 */
const TERM = /^(?<field>[^=!,\\]+)(?<operator>==|!=|=)(?<value>(?:\\[\\,=]|[^\\,=])*)$/;

/** @returns X if the selector has a term `metadata.name=X` and X can be a name; undefined otherwise */
export function exactName(selector: string): string | undefined {
  let name: string | undefined;
  // The API server sorts them first, and takes the first name then: a request for two names is for the one judged there.
  for (const term of splitTerms(selector).toSorted()) {
    if (term === '') continue;
    const groups = TERM.exec(term)?.groups;
    // One invalid term makes the API server reject the whole selector.
    if (groups === undefined) return undefined;
    const { field, operator, value = '' } = groups;
    if (field === 'metadata.name' && operator !== '!=') name ??= value.replaceAll(/\\([\\,=])/g, '$1');
  }
  return name !== undefined && isPathSegmentName(name) ? name : undefined;
}

function splitTerms(selector: string): readonly string[] {
  return selector.match(/(?:\\.|[^\\,])+|\\$/g) ?? [];
}

const isPathSegmentName = (name: string): boolean => name !== '' && name !== '.' && name !== '..' && !/[/%]/.test(name);
