/**
 * Google: one issuer for the whole world, so a rule over `hd` decides whose users are admitted; no groups in its
 * tokens.
 *
 * @see https://developers.google.com/identity/openid-connect/openid-connect
 */
import { VENDOR_HOSTS } from '../outbound.ts';
import { createDirectory, type DirectoryOptions } from './directory.ts';
import { OIDC, type Vendor } from './vendor.ts';

/** @param directory absent: no user has groups */
export function createGoogle(directory: DirectoryOptions | undefined): Vendor {
  const groupsOf = directory === undefined ? undefined : createDirectory(directory);
  return {
    ...OIDC,
    hosts: VENDOR_HOSTS.google,
    scopes: () => ['openid', 'profile', 'email'],
    // Google does not say when a user authenticated, unless it has reviewed the application.
    provesFreshness: false,
    parameters: ({ fresh }) => ({
      // Google has no offline_access, and after the first time gives a refresh token only with consent.
      access_type: 'offline',
      prompt: fresh ? 'select_account consent' : 'consent',
    }),
    ...(groupsOf === undefined
      ? {}
      : { complete: async (claims) => ({ ...claims, groups: await groupsOf(String(claims['sub'])) }) }),
  };
}
