/** What a 403 in YAML costs that an attacker sends in the place of an API server. */
import { expect, it } from 'vitest';
import type { Admitted } from '../../../../src/proxy/admission/admission.ts';
import { ProxyAccountFilter } from '../../../../src/proxy/upstream/proxy-account.ts';
import { cpuMs } from '../../../support/cpu-time.ts';

const ADMITTED = {
  impersonates: true,
  target: '/api',
  info: { isResourceRequest: false, path: '/api', verb: 'get' },
  cluster: { impersonate: { constrained: 'off' } },
} as unknown as Admitted;

/** @returns whether it was taken for a denial of the proxy's own account */
function isDenied(message: string): boolean {
  let denied = false;
  const next = {
    maySend: () => true,
    onHead: () => undefined,
    onPiece: () => undefined,
    onEnd: () => undefined,
    onError: () => undefined,
    onProxyAccountDenied: () => (denied = true),
  };
  const filter = new ProxyAccountFilter(next, ADMITTED);
  filter.onHead(403, ['Content-Type', 'application/yaml']);
  filter.onPiece(Buffer.from(`kind: Status\nmessage: ${message}\n`), undefined);
  filter.onEnd();
  return denied;
}

const DENIAL =
  'users "alice" is forbidden: User "p" cannot impersonate resource "users" in API group "" at the cluster scope';

it.each([
  ['plain but for what needs quotes', `'${DENIAL}'`],
  ['in double quotes', JSON.stringify(DENIAL)],
  ['with names in every escape', JSON.stringify(DENIAL).replace('alice', '\\0\\a\\x41\\u00e9\\_\\L\\e\\/')],
  ['folded', `'${DENIAL.replaceAll(' ', '\n  ')}'`],
  ['folded behind a backslash of a name', JSON.stringify(DENIAL).replace('alice', 'al\\\\\n  ice')],
  ['folded in double quotes, with an escaped line end', JSON.stringify(DENIAL).replace('forbidden', 'for\\\n  bidden')],
])('is read: %s', (_what, message) => {
  expect(isDenied(message)).toBe(true);
});

it.each([
  ['an escape that is none', JSON.stringify(DENIAL).replace('alice', '\\q')],
  ['something behind it', `'${DENIAL}' 'b'`],
  ['a quote that does not end', `"${DENIAL}`],
])('is not read: %s', (_what, message) => {
  expect(isDenied(message)).toBe(false);
});

it.each([
  ['escapes that are none', `"${'\\q'.repeat(2_040)}"`],
  ['quotes', `'${"''".repeat(2_040)}'`],
  ['line ends', `"${' \n'.repeat(2_000)}"`],
  ['spaces', `"${' '.repeat(4_000)}x"`],
  ['spaces on each of some lines', `"${`${' '.repeat(500)}\n`.repeat(8)}x"`],
  ['spaces before no line end', `"${`${' '.repeat(50)}x`.repeat(80)}"`],
  ['backslashes', `"${'\\\\'.repeat(1_000)}x`],
])('costs little, and two hundred of them come in one turn: %s', (_what, message) => {
  const rounds = Array.from({ length: 5 }, () =>
    cpuMs(() => {
      for (let each = 0; each < 20; each += 1) isDenied(message);
    }),
  );
  // A parser took 200 ms and more.
  expect(Math.min(...rounds)).toBeLessThan(40);
});
