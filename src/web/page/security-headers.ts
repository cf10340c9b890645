/**
 * Response headers of everything that the web room serves.
 */
import type { RequestHandler, Response } from 'express';
import helmet from 'helmet';

const YEAR_SECONDS = 31_536_000;

/** Nothing loads but our own style sheets and icon; nothing may frame us; forms go to us only. */
const PLAIN_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
];

/**
 * Scripts are files of ours, talk to us alone, and can make no markup out of text: with `trusted-types 'none'` there is nobody who
 * could vouch for any, so a name from outside stays text even where a script is careless.
 */
const SCRIPTED_POLICY = [
  ...PLAIN_POLICY,
  "script-src 'self'",
  "connect-src 'self'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
];

/** Whatever of a device or a browser these pages could ask for: they ask for none of it. */
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
 * - `Referrer-Policy: same-origin` and not `no-referrer`: under the latter browsers send `Origin: null` with our own forms
 *   (Fetch, "append a request Origin header"), and a change is taken with our own Origin only. Other sites see no referrer either way.
 * - HSTS only where the public URL is https; subdomains are not ours to decide.
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

/** For a page that has scripts; every other keeps the policy under which none runs. */
export function allowOwnScripts(res: Response): void {
  res.setHeader('Content-Security-Policy', SCRIPTED_POLICY.join('; '));
}

/** Pages name people, and a shared machine's back button must not show them. */
export const noStore: RequestHandler = (_req, res, next) => {
  res.setHeader('Cache-Control', 'no-store');
  next();
};
