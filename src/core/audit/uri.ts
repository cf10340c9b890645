/**
 * Returns a request target as it may be audited.
 *
 * Queries carry secrets (tokens, codes, text that a user typed into a shell), and an attacker may be among the
 * readers of the audit log, so they are removed. Rejected requests are audited as well, so this accepts any text.
 */

/** Characters; the rest of a longer target is of no use to a reader, and the client chooses it. */
const MAX_LENGTH = 8192;

/** Parameters whose value is never audited. `continue` is not among them: it is a position in a list. */
const SECRET =
  /token|secret|passw|assertion|credential|authorization|signature|verifier|session|cookie|jwt|api[-_]?key|^key$|(^|[-_])code$|^sig$|^state$|^nonce$/i;

/**
 * The form of nearly every target, which has nothing to hide: a path of plain segments, without encoding or
 * nesting …
 */
const PLAIN = /^[\w/.~-]*$/;

/**
 * … and with plain values of the parameters that kubectl and client-go use all day, whose names have nothing to
 * hide either.
 */
const PLAIN_QUERY =
  /^[\w/.~-]*\?(?:(?:limit|watch|resourceVersion|resourceVersionMatch|timeoutSeconds|timeout|allowWatchBookmarks|sendInitialEvents|fieldManager|fieldValidation|dryRun|force|pretty|container|follow|tailLines|stdin|stdout|stderr|tty)=[\w.~-]*(?:&|$))+$/;

/**
 * @param target request target as received, including rejected forms
 * @param shown `commands`: exec's `command` values are shown
 * @returns printable ASCII, which this function leaves unchanged: secret values as `REDACTED`, exec's `command`
 * values counted, the fragment and any user info removed
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
 * Removes a JWT under any name, or none: its head is JSON, and `{"` is `eyJ` in base64url (RFC 7515 §3.1). A
 * list's `continue` begins like that as well, and has no dots. Every run of such characters is matched, dots or
 * not, so that no text makes this slow.
 */
const withoutTokens = (text: string): string =>
  text.replaceAll(/[\w-]+(?:(?:\.|%(?:25)*2[eE])[\w-]*)*/g, (run) => {
    const at = run.indexOf('eyJ');
    return at === -1 || !/[.%]/.test(run.slice(at)) ? run : `${run.slice(0, at)}REDACTED`;
  });

const ending = (target: string): string => (target.length > MAX_LENGTH ? '...TRUNCATED' : '');

/** A fragment never belongs in a request; OAuth's implicit responses have their token there. */
function withoutFragment(target: string): string {
  const hash = target.indexOf('#');
  return hash === -1 ? target : target.slice(0, hash);
}

/** A hidden value ends only at the next `&`, because a shell command may contain a `;`. */
function safeQuery(query: string, showsCommands: boolean): string {
  const pairs = query.split('&').map((pair) => ({ pair, name: nameOf(pair) }));
  const [hidden, ...others] = pairs.filter(({ name }) => name === 'command');
  // A target that was processed before keeps its count.
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

/** Longer names are not examined, which bounds the work for a hostile target. */
const MAX_NESTED_NAME = 120;

/**
 * Cuts a query inside a value or a path, plain or percent-encoded (`redirect=…%3Ftoken%3D…`), from the first
 * secret on.
 */
function withoutNested(text: string): string {
  const sign = /=|%(?:25)*3d/gi;
  // Searched once for all separators before it: otherwise a target of separators only would be searched for each
  // of them.
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
 * Percent-encodes everything but printable ASCII: controls could forge a line, U+2028 and U+2029 end one for
 * JavaScript. A character up to U+00FF is one byte, as Node's http passes a target.
 */
const escapeUnsafe = (text: string): string =>
  text.replaceAll(/[^!-~]/gu, (character) => {
    const point = character.codePointAt(0) ?? 0;
    const bytes = point <= 0xff ? [point] : [...new TextEncoder().encode(character)];
    return bytes.map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  });
