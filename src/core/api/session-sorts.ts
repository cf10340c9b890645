/**
 * The sort orders of the list of sessions. This file does not import zod, so that the command line can parse
 * without it.
 */
export const SESSION_SORTS = ['newest', 'oldest', 'last-used', 'least-used'] as const;
