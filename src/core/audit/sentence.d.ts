/** Types of sentence.js. */
import type { AuditEvent } from './event.ts';

export declare function isOfAllNamespaces(event: Pick<AuditEvent, 'verb' | 'objectRef'>): boolean;
export declare function whoOf(event: AuditEvent): string;
export declare function isOpen(event: Pick<AuditEvent, 'stage'>): boolean;
export declare function whatOf(event: AuditEvent): string;
export declare function outcomeOf(
  event: AuditEvent,
  later?: boolean,
): { readonly style: 'ok' | 'warn' | 'bad' | 'quiet'; readonly text: string };
export declare function grantsOf(event: AuditEvent): readonly string[];
