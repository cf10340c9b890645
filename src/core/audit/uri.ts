/**
 * Returns a request target as it may be audited.
 *
 * Queries carry secrets (tokens, codes, text that a user typed into a shell), and an attacker may be among the
 * readers of the audit log, so they are removed. Rejected requests are audited as well, so this accepts any text.
 */
import { percentDecoded } from '../request/query.ts';
import { MAX_TARGET_LENGTH } from '../request/request-path.ts';

/**
 * Characters without exec's commands; the rest of a longer target is of no use to a reader, and the client chooses it.
 */
const MAX_LENGTH = 8192;

/**
 * Parameters without exec's commands. An attacker sends thousands of empty ones, each of which takes as long as a whole
 * one, and over HTTP/2 repeats them by 13 bytes; no client sends as many.
 */
const MOST_PARAMETERS = 256;

/** Parameters whose value is never audited. `continue` is not among them: it is a position in a list. */
const SECRET =
  /token|secret|passw|passphrase|passcode|assertion|credential|authorization|signature|verifier|sess(?:ion|id)|cookie|jwt|hmac|totp|mnemonic|saml|relaystate|licen[cs]e|connection[-_]?string|(?:api|private|access|account|auth)[-_]?key|^key$|(^|[-_.])(?:code|pass|pwd|otp|pin|mfa|pem|seed|pat|dsn|sid|ticket)$|^sig$|^state$|^nonce$|^auth$|^bearer$/i;

/**
 * Parameters that run something: `command` of an exec, at the API server and at a kubelet, and `cmd` of a kubelet's own
 * `/run/` (`…/nodes/NAME/proxy/run/NAMESPACE/POD/CONTAINER`). By their names alone: what is behind `…/proxy` reads a path
 * by rules of its own.
 */
const COMMAND_NAMES = ['command', 'cmd'] as const;

/**
 * Nothing is hidden in a text without any of these: names as above, wherever they stand, and the end of user info. One
 * search of the whole is quick, where a look at each parameter is not.
 */
const SIGN = new RegExp(`${SECRET.source.replaceAll(/\(\^\|\[-_\.\]\)|[$^]/g, '')}|${COMMAND_NAMES.join('|')}|@`, 'i');

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
 * An attacker pads the query of an exec, so that what they run is beyond the length that is audited. So the parameters
 * that run something have a limit of their own, which no admitted target exceeds; where the rest is cut, they come first.
 * @param target request target as received, including rejected forms
 * @param shown `commands`: the values of `command` and `cmd` are shown
 * @returns printable ASCII, which this function leaves unchanged: secret values as `REDACTED`, those of `command` and
 * `cmd` counted, the fragment and any user info removed; `...TRUNCATED` at the end of what was cut
 */
export function auditUri(target: string, shown: { readonly commands?: boolean } = {}): string {
  const { text, ending } = bounded(target);
  const isShort = ending === '' && !target.includes('eyJ');
  if (isShort && (PLAIN.test(target) || PLAIN_QUERY.test(target))) return target;
  const bare = withoutFragment(text).replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/?]*@/i, '$1//');
  const question = bare.indexOf('?');
  if (question === -1) return withoutTokens(escapeUnsafe(withoutNested(bare)) + ending);
  const path = withoutNested(bare.slice(0, question));
  return withoutTokens(
    escapeUnsafe(`${path}?${safeQuery(bare.slice(question + 1), shown.commands === true)}`) + ending,
  );
}

/** @returns whether `auditUri` cuts the target */
export const isCutUri = (target: string): boolean => commandsOfCut(target) !== undefined;

function bounded(target: string): { readonly text: string; readonly ending: '' | '...TRUNCATED' } {
  const commands = commandsOfCut(target);
  if (commands === undefined) return { text: target, ending: '' };
  const ending = '...TRUNCATED';
  // The ending takes the place of the last one.
  const end =
    endOfParameters(target) === target.length ? target.length : endOfParameters(target, MOST_PARAMETERS - 1) + 1;
  if (commands.length === 0) return { text: target.slice(0, Math.min(MAX_LENGTH, end)), ending };
  const path = target.slice(0, Math.min(target.indexOf('?'), MAX_LENGTH));
  const others = queryOf(target)
    .split('&')
    .filter((pair) => !IS_COMMAND.test(pair));
  const some = others.length > MOST_PARAMETERS ? [...others.slice(0, MOST_PARAMETERS - 1), ''] : others;
  const query = [...commands, some.join('&').slice(0, Math.max(0, MAX_LENGTH - path.length - 1))];
  return { text: `${path}?${query.filter((pair) => pair !== '').join('&')}`, ending };
}

/** @returns the parameters that run something, of a target that is cut; undefined for one that is not */
function commandsOfCut(target: string): readonly string[] | undefined {
  if (target.length <= MAX_LENGTH && endOfParameters(target) === target.length) return undefined;
  const commands = queryOf(target).match(COMMANDS) ?? [];
  const length = commands.reduce((sum, pair) => sum + pair.length + 1, 0);
  const isWhole =
    target.length - length <= MAX_LENGTH &&
    endOfParameters(target, MOST_PARAMETERS + commands.length) === target.length;
  return isWhole ? undefined : commands;
}

/** Longer targets are rejected, so nothing is run by them. */
function queryOf(target: string): string {
  const question = target.indexOf('?');
  return question === -1 ? '' : target.slice(question + 1, MAX_TARGET_LENGTH);
}

/** @returns where the last of so many parameters ends */
function endOfParameters(target: string, most = MOST_PARAMETERS): number {
  let at = target.indexOf('?');
  for (let parameters = 0; at !== -1 && parameters < most; parameters += 1) at = target.indexOf('&', at + 1);
  return at === -1 ? target.length : at;
}

/**
 * Removes a JWT under any name, or none: its head is JSON, and `{"` is `eyJ` in base64url (RFC 7515 §3.1). A
 * list's `continue` begins like that as well, and has no dots. Every run of such characters is matched, dots or
 * not, so that no text makes this slow.
 */
function withoutTokens(text: string): string {
  if (!text.includes('eyJ')) return text;
  return text.replaceAll(/[\w-]+(?:(?:\.|%(?:25)*2[eE])[\w-]*)*/g, (run) => {
    const at = run.indexOf('eyJ');
    return at === -1 || !/[.%]/.test(run.slice(at)) ? run : `${run.slice(0, at)}REDACTED`;
  });
}

/** A fragment never belongs in a request; OAuth's implicit responses have their token there. */
function withoutFragment(target: string): string {
  const hash = target.indexOf('#');
  return hash === -1 ? target : target.slice(0, hash);
}

/** @returns whether something may have to be hidden, under whatever encoding */
const mayHide = (text: string): boolean => SIGN.test(text) || (text.includes('%') && SIGN.test(decodeName(text)));

/** A hidden value ends only at the next `&`, because a shell command may contain a `;`. */
function safeQuery(query: string, showsCommands: boolean): string {
  if (!mayHide(query)) return query;
  const pairs = query.split('&').map((pair) => ({ pair, name: mayHide(pair) ? nameOf(pair) : undefined }));
  const counted = new Set<string>();
  const safe: string[] = [];
  for (const { pair, name } of pairs) {
    if (name === undefined) {
      safe.push(pair);
    } else if (isCommandName(name) && !showsCommands) {
      if (!counted.has(name)) safe.push(`${name}=[${countOf(name, pairs)}]`);
      counted.add(name);
    } else {
      const isSecret = pair.includes('=') && SECRET.test(name);
      if (isSecret) safe.push(`${pair.slice(0, pair.indexOf('='))}=REDACTED`);
      else safe.push(isCommandName(name) ? withoutNestedValues(pair) : withoutNested(withoutMembers(pair, name)));
    }
  }
  return safe.join('&');
}

const isCommandName = (name: string): boolean => COMMAND_NAMES.some((each) => each === name);

/** @returns how many of the parameters have the name; a target that was processed before keeps its count */
function countOf(name: string, pairs: readonly { readonly pair: string; readonly name: string | undefined }[]): string {
  const [first, ...others] = pairs.filter((each) => each.name === name);
  const before = /^\w+=\[(\d{1,5})\]$/.exec(first?.pair ?? '')?.[1];
  return others.length === 0 && before !== undefined ? before : String(others.length + 1);
}

/** A name that is one of these, as it stands: splitting and decoding thousands of others costs too much. */
const COMMAND =
  '(?:c|%[46]3)(?:(?:o|%[46]f)(?:m|%[46]d){2}(?:a|%[46]1)(?:n|%[46]e)|(?:m|%[46]d))(?:d|%[46]4)(?:(?:\\[|%5b)(?:\\]|%5d))?(?=[=&]|$)';
const COMMANDS = new RegExp(`(?<![^&])${COMMAND}[^&]*`, 'gi');
const IS_COMMAND = new RegExp(`^${COMMAND}`, 'i');

function nameOf(pair: string): string {
  const equals = pair.indexOf('=');
  return decodeName(equals === -1 ? pair : pair.slice(0, equals))
    .replace(/\[\]$/, '')
    .toLowerCase();
}

/** What separates a name from its word in a command, plain or percent-encoded; and the value. */
const NESTED_SIGN = /(?:=|%(?:25)*3d)+/gi;
const NESTED_VALUE = /(?:[\w.~/:@,=-]|%(?:25)*(?:2[bcdf]|3[ad]|40))*/iy;

/**
 * Hides in a command the word behind a secret's name (`--token=…`) and no more: an attacker writes `token=x;` before
 * what they run, so what follows the word is shown.
 */
function withoutNestedValues(pair: string): string {
  let shown = pair.slice(0, pair.indexOf('=') + 1);
  let at = shown.length;
  NESTED_SIGN.lastIndex = at;
  for (let sign = NESTED_SIGN.exec(pair); sign !== null; sign = NESTED_SIGN.exec(pair)) {
    const before = pair.slice(Math.max(at, sign.index - MAX_NESTED_NAME), sign.index);
    if (!SECRET.test(/[\w.-]*$/.exec(before)?.[0] ?? '')) continue;
    const from = NESTED_SIGN.lastIndex;
    shown += `${pair.slice(at, from)}REDACTED`;
    NESTED_VALUE.lastIndex = from;
    NESTED_VALUE.test(pair);
    at = NESTED_VALUE.lastIndex;
    NESTED_SIGN.lastIndex = at;
  }
  return shown + pair.slice(at);
}

/** Longer names are not examined, which bounds the work for a hostile target. */
const MAX_NESTED_NAME = 120;

/**
 * Cuts a query inside a value or a path, plain or percent-encoded (`redirect=…%3Ftoken%3D…`), from the first
 * secret on.
 */
function withoutNested(received: string): string {
  if (!mayHide(received)) return received;
  const text = withoutUserInfo(received);
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
    if (name !== '' && (SECRET.test(decodeName(name)) || isCommandName(name.toLowerCase()))) {
      return `${text.slice(0, from)}${name}=REDACTED`;
    }
  }
  return text;
}

/** A name in a value, or an escape, which may be encoded again. */
const WORD = /%(?:25)*[0-9a-f]{2}|[\w.-]+/gi;
/** What makes a name one of a member: `"token":`, plain or percent-encoded. */
const MEMBER_SIGN = /(?:["'\\+]|%(?:25)*(?:2[027]|5c))*(?::|%(?:25)*3a)/iy;

/**
 * Cuts JSON or a search in a value (`q={"token":"…"}`, `q=token:…`) from the first secret on. Not selectors, nor paths: a
 * service is called `https:token-review:443` there.
 */
function withoutMembers(pair: string, name: string): string {
  const equals = pair.indexOf('=');
  if (equals === -1 || name === 'labelselector' || name === 'fieldselector') return pair;
  WORD.lastIndex = equals + 1;
  for (let word = WORD.exec(pair); word !== null; word = WORD.exec(pair)) {
    const [text] = word;
    if (text.startsWith('%')) continue;
    MEMBER_SIGN.lastIndex = WORD.lastIndex;
    if (!MEMBER_SIGN.test(pair) || text.length >= MAX_NESTED_NAME || !SECRET.test(text)) continue;
    return `${pair.slice(0, MEMBER_SIGN.lastIndex)}REDACTED`;
  }
  return pair;
}

/** In a URL in a path or a value, plain or percent-encoded; what is encoded once more does not end it. */
const USER_INFO =
  /(:\/\/)(?:[^/?#&@]*@)+|((?::|%(?:25)*3a)(?<escape>%(?:25)*)2f\k<escape>2f)(?:(?:(?!\k<escape>(?:2f|3f|23|40))[^/?&@])*\k<escape>40)+/gi;

/** Replaces user info (`…/proxy/https://user:PASSWORD@host`). */
const withoutUserInfo = (text: string): string =>
  text.replaceAll(USER_INFO, (_, plain: string | undefined, encoded: string | undefined, escape: string | undefined) =>
    plain === undefined ? `${encoded ?? ''}REDACTED${escape ?? ''}40` : `${plain}REDACTED@`,
  );

/** For comparison with ASCII only, so bytes are enough. However often it is encoded. */
const decodeName = (name: string): string =>
  percentDecoded((name.includes('%25') ? name.replaceAll(/%(?:25)+/g, '%') : name).replaceAll('+', ' '));

/**
 * Percent-encodes everything but printable ASCII: controls could forge a line, U+2028 and U+2029 end one for
 * JavaScript. A character up to U+00FF is one byte, as Node's http passes a target.
 */
const escapeUnsafe = (text: string): string =>
  text.replaceAll(/[^!-~]/gu, (character) => {
    const point = character.codePointAt(0) ?? 0;
    const escape = ESCAPES[point];
    return escape ?? Array.from(new TextEncoder().encode(character), (byte) => ESCAPES[byte]).join('');
  });

const ESCAPES = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`);
