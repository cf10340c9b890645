/**
 * Google: one issuer for the whole world, so a rule over `hd` decides whose users are admitted; no groups in its
 * tokens.
 *
 * @see https://developers.google.com/identity/openid-connect/openid-connect
 */
import { createDirectory, type DirectoryOptions } from './directory.ts';
import { standardVendor, type Vendor } from './vendor.ts';

/** @param directory absent: no user has groups */
export function createGoogle(directory: DirectoryOptions | undefined): Vendor {
  const groupsOf = directory === undefined ? undefined : createDirectory(directory);
  return {
    ...standardVendor('google'),
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
