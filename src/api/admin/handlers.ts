/** The types of the handlers of the admin API, by the names of its operations. */
import type { ADMIN_API } from '../../core/api/admin-operations.ts';
import type { CallOf, Handlers } from '../call.ts';

export type AdminHandlers = Handlers<typeof ADMIN_API>;

/** A call of an operation. */
export type AdminCall<N extends keyof (typeof ADMIN_API)['operations']> = CallOf<typeof ADMIN_API, N>;
