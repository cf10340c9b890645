/**
 * A request target as it may stand in the record.
 *
 * Threat: queries carry secrets (tokens, codes, what somebody typed into a shell), and the record is read by more people than may have
 * them. Refused requests are recorded as well, so this takes any text at all.
 */

/** Characters; a longer target says nothing more to a reader, and is the client's to choose. */
const MAX_LENGTH = 8192;

/** Parameters whose value is never recorded. `continue` is not among them: it is a place in a list. */
const SECRET =
  /token|secret|passw|assertion|credential|authorization|signature|verifier|session|cookie|jwt|api[-_]?key|^key$|(^|[-_])code$|^sig$|^state$|^nonce$/i;

/** What nearly every target is, and holds nothing to hide: a path of plain segments, in which nothing is encoded or nested … */
const PLAIN = /^[\w/.~-]*$/;

/** … and with plain values of what kubectl and client-go ask for all day, under names that hide nothing either. */
const PLAIN_QUERY =
  /^[\w/.~-]*\?(?:(?:limit|watch|resourceVersion|resourceVersionMatch|timeoutSeconds|timeout|allowWatchBookmarks|sendInitialEvents|fieldManager|fieldValidation|dryRun|force|pretty|container|follow|tailLines|stdin|stdout|stderr|tty)=[\w.~-]*(?:&|$))+$/;

/**
 * @param target request target as it came, refused forms included
 * @param shown `commands`: exec's `command` values are shown instead
 * @returns printable ASCII, which comes out of here unchanged when it is put in again: secret values as `REDACTED`, exec's `command` values counted, the fragment and any user info removed
 */
export function auditUri(target: string, shown: { readonly commands?: boolean } = {}): string {
  if (target.length <= MAX_LENGTH && !target.includes('eyJ') && (PLAIN.test(target) || PLAIN_QUERY.test(target)))
    return target;
  const cut = target.slice(0, MAX_LENGTH);
  const bare = withoutFragment(cut).replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/?]*@/i, '$1//');
  const question = bare.indexOf('?');
  if (question === -1) return withoutTokens(escapeUnsafe(withoutNested(bare)) + ending(target));
  const path = withoutNested(bare.slice(0, question));
  return withoutTokens(
    escapeUnsafe(`${path}?${safeQuery(bare.slice(question + 1), shown.commands === true)}`) + ending(target),
  );
}

/**
 * A JWT under any name, or under none: its head is JSON, and `{"` is `eyJ` in base64url (RFC 7515 §3.1). A list's `continue` begins so as
 * well, and has no dots. Every run of such characters is matched, dots or not, so that no text makes this slow.
 */
const withoutTokens = (text: string): string =>
  text.replaceAll(/[\w-]+(?:(?:\.|%(?:25)*2[eE])[\w-]*)*/g, (run) => {
    const at = run.indexOf('eyJ');
    return at === -1 || !/[.%]/.test(run.slice(at)) ? run : `${run.slice(0, at)}REDACTED`;
  });

const ending = (target: string): string => (target.length > MAX_LENGTH ? '...TRUNCATED' : '');

/** A fragment never belongs in a request; OAuth's implicit answers keep their token there. */
function withoutFragment(target: string): string {
  const hash = target.indexOf('#');
  return hash === -1 ? target : target.slice(0, hash);
}

/** A hidden value ends at the next `&` and no sooner: a shell command may well hold a `;`. */
function safeQuery(query: string, showsCommands: boolean): string {
  const pairs = query.split('&').map((pair) => ({ pair, name: nameOf(pair) }));
  const [hidden, ...others] = pairs.filter(({ name }) => name === 'command');
  // A target that has been through here already keeps its count.
  const commands =
    others.length === 0 ? (/^command=\[(\d{1,5})\]$/.exec(hidden?.pair ?? '')?.[1] ?? 1) : others.length + 1;
  const safe: string[] = [];
  let counted = false;
  for (const { pair, name } of pairs) {
    if (name === 'command' && !showsCommands) {
      if (!counted) safe.push(`command=[${commands}]`);
      counted = true;
    } else {
      safe.push(
        pair.includes('=') && SECRET.test(name) ? `${pair.slice(0, pair.indexOf('='))}=REDACTED` : withoutNested(pair),
      );
    }
  }
  return safe.join('&');
}

function nameOf(pair: string): string {
  const equals = pair.indexOf('=');
  return decodeName(equals === -1 ? pair : pair.slice(0, equals))
    .replace(/\[\]$/, '')
    .toLowerCase();
}

/** Longer names are not looked for: a bound on the work that a hostile target can make. */
const MAX_NESTED_NAME = 120;

/** A query inside a value or a path, plain or percent-encoded (`redirect=…%3Ftoken%3D…`): cut from the first secret on. */
function withoutNested(text: string): string {
  const sign = /=|%(?:25)*3d/gi;
  // Found once for all separators before it: a target of nothing but separators would be searched for each of them.
  let equals = -1;
  for (const match of text.matchAll(/[?&;]|%(?:25)*(?:3f|26|3b|23)/gi)) {
    const from = match.index + match[0].length;
    if (equals < from) {
      sign.lastIndex = from;
      equals = sign.exec(text)?.index ?? Infinity;
    }
    if (equals === Infinity) return text;
    const name = equals - from < MAX_NESTED_NAME ? text.slice(from, equals) : '';
    if (name !== '' && (SECRET.test(decodeName(name)) || name.toLowerCase() === 'command')) {
      return `${text.slice(0, from)}${name}=REDACTED`;
    }
  }
  return text;
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    return name;
  }
}

/**
 * Percent-encodes what is not printable ASCII: controls could forge a line, U+2028 and U+2029 end one for JavaScript. A character
 * up to U+00FF is one byte, as Node's http hands a target over.
 */
const escapeUnsafe = (text: string): string =>
  text.replaceAll(/[^!-~]/gu, (character) => {
    const point = character.codePointAt(0) ?? 0;
    const bytes = point <= 0xff ? [point] : [...new TextEncoder().encode(character)];
    return bytes.map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  });
