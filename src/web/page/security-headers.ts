/** The response headers of everything that the web module serves. */
import type { RequestHandler, Response } from 'express';
import helmet from 'helmet';

const YEAR_SECONDS = 31_536_000;

/** Only our own style sheets and icon load; no page may frame us; forms are sent to us only. */
const PLAIN_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
];

/**
 * Scripts are our own files, connect to us alone, and cannot turn text into markup: with `trusted-types 'none'` no
 * policy can create trusted markup, so a name from outside stays text even where a script is careless.
 */
const SCRIPTED_POLICY = [
  ...PLAIN_POLICY,
  "script-src 'self'",
  "connect-src 'self'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
];

/** The features of a device or a browser that a page could use. Our pages use none of them. */
const FEATURES = [
  'accelerometer',
  'autoplay',
  'browsing-topics',
  'camera',
  'clipboard-read',
  'clipboard-write',
  'display-capture',
  'encrypted-media',
  'fullscreen',
  'gamepad',
  'geolocation',
  'gyroscope',
  'hid',
  'identity-credentials-get',
  'idle-detection',
  'keyboard-map',
  'local-fonts',
  'magnetometer',
  'microphone',
  'midi',
  'otp-credentials',
  'payment',
  'picture-in-picture',
  'publickey-credentials-create',
  'publickey-credentials-get',
  'screen-wake-lock',
  'serial',
  'storage-access',
  'sync-xhr',
  'usb',
  'window-management',
  'xr-spatial-tracking',
];
const NO_FEATURE = FEATURES.map((feature) => `${feature}=()`).join(', ');

/**
 * - `Referrer-Policy: same-origin` instead of `no-referrer`: with the latter browsers send `Origin: null` with our
 *   own forms (Fetch, "append a request Origin header"), and a change is accepted with our own Origin only. Other
 *   sites see no referrer either way.
 * - HSTS only where the public URL is https; we do not decide for subdomains.
 */
export function securityHeaders(publicUrl: string): RequestHandler {
  const common = helmet({
    contentSecurityPolicy: false,
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    crossOriginEmbedderPolicy: { policy: 'require-corp' },
    referrerPolicy: { policy: 'same-origin' },
    xFrameOptions: { action: 'deny' },
    strictTransportSecurity: publicUrl.startsWith('https:')
      ? { maxAge: YEAR_SECONDS, includeSubDomains: false }
      : false,
  });
  return (req, res, next) => {
    res.setHeader('Content-Security-Policy', PLAIN_POLICY.join('; '));
    res.setHeader('Permissions-Policy', NO_FEATURE);
    common(req, res, next);
  };
}

/** Allows our own scripts on this page; every other page keeps the policy under which none runs. */
export function allowOwnScripts(res: Response): void {
  res.setHeader('Content-Security-Policy', SCRIPTED_POLICY.join('; '));
}

/** Pages contain names of users, and the back button of a shared machine must not show them. */
export const noStore: RequestHandler = (_req, res, next) => {
  res.setHeader('Cache-Control', 'no-store');
  next();
};
