/**
 * Response headers of everything that the web room serves.
 */
import type { RequestHandler } from 'express';
import helmet from 'helmet';

const YEAR_SECONDS = 31_536_000;

/**
 * - Nothing loads but our own style sheet and icon; nothing may frame us; forms go to us only.
 * - `Referrer-Policy: same-origin` and not `no-referrer`: under the latter browsers send `Origin: null` with our own forms
 *   (Fetch, "append a request Origin header"), and a change is taken with our own Origin only. Other sites see no referrer either way.
 * - HSTS only where the public URL is https; subdomains are not ours to decide.
 */
export function securityHeaders(publicUrl: string): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'none'"],
        'style-src': ["'self'"],
        'img-src': ["'self'"],
        'form-action': ["'self'"],
        'frame-ancestors': ["'none'"],
        'base-uri': ["'none'"],
      },
    },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    crossOriginEmbedderPolicy: { policy: 'require-corp' },
    referrerPolicy: { policy: 'same-origin' },
    xFrameOptions: { action: 'deny' },
    strictTransportSecurity: publicUrl.startsWith('https:')
      ? { maxAge: YEAR_SECONDS, includeSubDomains: false }
      : false,
  });
}

/** Pages name people, and a shared machine's back button must not show them. */
export const noStore: RequestHandler = (_req, res, next) => {
  res.setHeader('Cache-Control', 'no-store');
  next();
};
