/**
 * Configuration: file or environment to one frozen, typed object.
 *
 * Owns: the schema with every default, the parser that reports all validation errors together, and reading secrets
 * from the files that the configuration names. Must not know: what any value is used for. No other module reads
 * the environment.
 *
 * A setting has one place: its key in the file of its section (`schema.ts` has the list of sections), with what it
 * accepts, its default, and what is said of it (`.meta`). Types, checks of files, redaction and
 * docs/reference/configuration.md come from there.
 */
import type { assemble } from './assemble.ts';

export type { AssertionAlg, ClientKey } from './client-key.ts';
export type { AuditKeys, SealingKeys, SigningKeys } from './key-types.ts';
export type { TlsFiles } from './listen.ts';
export type { Address } from './values.ts';

export type Config = ReturnType<typeof assemble>;

type Item<K extends keyof Config> = Config[K] extends readonly (infer T)[] ? T : never;

export type ProviderConfig = Item<'providers'>;
export type ClusterConfig = Item<'clusters'>;
export type WorkloadRule = Item<'workload'>;
export type DelegationClientConfig = Config['delegation']['clients'][number];
export type StoreConfig = Config['store'];
export type NoticeFormat = Config['access']['notify'][number]['format'];
