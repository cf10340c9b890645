/**
 * Web: what people see in a browser, and the admin API.
 *
 * Owns: sign-in pages, the person's own page, the admin page, the browser cookie with its CSRF token, and `/admin/api/v1` for
 * browsers and programs. Must not know: how tokens are minted (room `oauth`), Kubernetes requests, or Redis.
 */
