/** The settings that only a provider of type github has. */
import * as z from 'zod';
import { VENDOR_HOSTS } from '../core/identity/provider-types.ts';
import { textAt, type ValidationErrors, type Path } from './document.ts';

const LOGIN = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,99})$/;
const EXPECTED = 'a list of at least one organisation, each by its login or its id (a number), or "*"';

export const githubOrganizations = z.union(
  [
    z.literal('*'),
    z
      .array(z.union([z.string().regex(LOGIN), z.int().positive()]))
      .min(1)
      .max(100),
  ],
  { error: EXPECTED },
);

export const githubHost = z
  .string({ error: 'a host name' })
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:[1-9]\d{0,4})?$/, {
    error: 'the lower-case host name of an Enterprise server or a ghe.com tenant, such as github.example.com',
  });

/** Settings of other types that would have no effect here. */
const FOREIGN = ['scopes', 'hosts', 'emailVerified', 'clientKeyFile', 'clientCertFile'];

/** Reads the document itself, so that an error elsewhere in a provider hides none of these. */
export function checkGithub(provider: Readonly<Record<string, unknown>>, base: Path, errors: ValidationErrors): void {
  // An attacker makes an account at github.com, which is open to anyone. So the organisations must be named there.
  if (
    provider['organizations'] === undefined &&
    (textAt(provider, 'host') ?? VENDOR_HOSTS.github) === VENDOR_HOSTS.github
  ) {
    const expected = `the organisations whose members may sign in, or "*" (any account on ${VENDOR_HOSTS.github}, set explicitly)`;
    errors.add([...base, 'organizations'], expected);
  }
  for (const key of FOREIGN) {
    if (provider[key] !== undefined) errors.add([...base, key], 'nothing: type github has no use for it');
  }
}
