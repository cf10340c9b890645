/** What only a provider of type github has. */
import * as z from 'zod';
import { textAt, type ValidationErrors, type Path } from './document.ts';

export const GITHUB = 'github.com';

/** With the organisation's login, since anybody can name a team of their own as they like. */
export const GITHUB_GROUPS = 'claims.teams.map(t, t.organization + "/" + t.slug)';

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

/** Settings that other types have, and that would do nothing here. */
const FOREIGN = ['scopes', 'hosts', 'emailVerified', 'clientKeyFile', 'clientCertFile'];

/** Reads the document itself, so that a fault elsewhere in a provider hides none of these. */
export function checkGithub(provider: Readonly<Record<string, unknown>>, base: Path, errors: ValidationErrors): void {
  // Threat: github.com has an account for anybody in the world who wants one.
  if (provider['organizations'] === undefined && (textAt(provider, 'host') ?? GITHUB) === GITHUB) {
    const message = `the organisations whose members may sign in, or "*" (anybody on ${GITHUB}, said in so many words)`;
    errors.add([...base, 'organizations'], message);
  }
  for (const key of FOREIGN) {
    if (provider[key] !== undefined) errors.add([...base, key], 'nothing: type github has no use for it');
  }
}
