/** What the browser of a stage would send. */
import type { Browser } from './harness.ts';

/** The browser's cookies as a header. */
export const cookiesOf = (browser: Browser): string =>
  browser.jar.getCookies({ domain: '127.0.0.1', path: '/', secure: false, script: false }).toValueString();
