/** The orders of the list of sessions. A file without the schema library, so that a command line is parsed without it. */
export const SESSION_SORTS = ['newest', 'oldest', 'last-used', 'least-used'] as const;
