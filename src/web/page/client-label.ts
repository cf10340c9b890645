/** Readable names for the client, the user agent and the device of a session. For presentation only: the client chooses them. */
import { BROWSER_CLIENT, PLUGIN_CLIENT_ID } from '../../core/core.ts';
import { html, type Html } from './html.ts';

// The order matters: Edge and Opera also contain Chrome, and Chrome also contains Safari.
const browsers: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|Chromium|CriOS|HeadlessChrome)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
  [/^curl\//, 'curl'],
  [/^portcullis\//, 'portcullis'],
];

const systems: readonly (readonly [RegExp, string])[] = [
  [/\bAndroid\b/, 'Android'],
  [/\b(?:iPhone|iPad)\b/, 'iOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b|\bdarwin\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b|\blinux\b/, 'Linux'],
];

const nameIn = (table: readonly (readonly [RegExp, string])[], text: string): string | undefined =>
  table.find(([pattern]) => pattern.test(text))?.[1];

/** Returns a name such as `Firefox on Linux`; the shortened user agent where neither part is known. */
export function deviceOf(userAgent: string): string {
  const browser = nameIn(browsers, userAgent);
  const system = nameIn(systems, userAgent);
  if (browser !== undefined && system !== undefined) return `${browser} on ${system}`;
  return browser ?? system ?? (userAgent === '' ? 'Unknown device' : userAgent.slice(0, 40));
}

/**
 * Returns the name that a program gave its device, as a quotation. An attacker names theirs like the user's laptop, so
 * it stands beside the address and the time that Portcullis saw, and never in place of them.
 */
export const quotedName = (deviceName: string): Html => html`“<bdi>${deviceName}</bdi>”`;

export function clientName(client: string): string {
  switch (client) {
    case PLUGIN_CLIENT_ID:
      return 'kubectl';
    case BROWSER_CLIENT:
      return 'These pages';
    default:
      return client;
  }
}
