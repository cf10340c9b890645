/** The names of the places where a session is kept (see secrets.ts), apart from the code that the path of a cached credential must not load. */

/** `auto`: the keyring where it can be used, else the file, with a message. */
export const CREDENTIAL_STORES = ['auto', 'keyring', 'file'] as const;
export type CredentialStore = (typeof CREDENTIAL_STORES)[number];

/** The command that accesses the keyring in a process of its own; hidden in the help. */
export const KEYRING_COMMAND = 'access-keyring';

/** Name of the native library among the assets of a single executable. */
export const KEYRING_ASSET = 'keyring.node';
