/** What a lesson consists of. A task is done when the audit log or the cluster shows it, never because the learner says so. */
import type { AuditFact } from '../../src/core/audit/annotations.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { DemoError } from '../demo.ts';
import type { RunningDemo } from '../launch.ts';
import type { Finished } from '../tour/terminal.ts';

/** One shell of the learner: who sits at it, and what it cannot do. */
export interface LessonTerminal {
  /** Its file in the demo's folder is `as-NAME`. */
  readonly name: string;
  readonly user: string;
  /** The terminal whose sign-in it shares, as a thief who has taken that laptop; its own otherwise. */
  readonly laptopOf?: string;
  /** `own`: the learner's. `played`: a small program signs in as the user. `none`: no sign-in is possible here. */
  readonly browser: 'own' | 'played' | 'none';
}

export interface Evidence {
  /** The audit events since the lesson was set up, in their order. */
  readonly events: readonly AuditEvent[];
  /** Questions of the lesson that were answered right so far. */
  readonly answered: ReadonlySet<string>;
  /** Asks the cluster itself what a user may do there now. */
  may(question: AccessQuestion): Promise<boolean>;
}

export interface AccessQuestion {
  readonly user: string;
  readonly verb: string;
  readonly resource: string;
  /** Empty: over the whole cluster. */
  readonly namespace: string;
  /** Of one object; of any where absent. */
  readonly name?: string;
}

export interface Task {
  readonly title: string;
  done(evidence: Evidence): boolean | Promise<boolean>;
}

export interface Question {
  readonly name: string;
  readonly title: string;
  readonly right: string;
  readonly hint: string;
}

export interface Lesson {
  readonly number: number;
  readonly title: string;
  /** Its name in `docs/training`. */
  readonly page: string;
  readonly terminals: readonly LessonTerminal[];
  readonly tasks: readonly Task[];
  readonly questions?: readonly Question[];
  /** Done before the learner begins; nothing of it counts as theirs. */
  scene?(demo: RunningDemo): Promise<void>;
}

/**
 * Waits for a command of a scene.
 * @throws DemoError where it failed: a lesson that is not set up would mislead
 */
export async function setUp(command: Promise<Finished>): Promise<void> {
  const { code, stderr } = await command;
  if (code !== 0) throw new DemoError(`the lesson could not be set up: ${stderr}`);
}

/** What an audit event must have. An absent field may have any value. */
export interface Wanted {
  /** The username. */
  readonly who?: string;
  readonly as?: string;
  readonly account?: string;
  readonly verb?: string;
  readonly event?: string;
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** The session in which it was done. */
  readonly session?: string;
  readonly code?: number;
  readonly reason?: string;
  /** Further annotations, by their names in the catalogue. */
  readonly facts?: { readonly [K in AuditFact]?: RegExp };
  readonly stage?: AuditEvent['stage'];
}

export const annotation = (event: AuditEvent, name: string): string | undefined =>
  event.annotations[`portcullis.dev/${name}`];

function matches(event: AuditEvent, wanted: Wanted): boolean {
  const facts: readonly (readonly [unknown, unknown])[] = [
    [wanted.who, event.user.username],
    [wanted.as, event.impersonatedUser?.username],
    [wanted.account, annotation(event, 'account')],
    [wanted.verb, event.verb],
    [wanted.event, annotation(event, 'event')],
    [wanted.resource, event.objectRef?.resource],
    [wanted.namespace, event.objectRef?.namespace],
    [wanted.name, event.objectRef?.name],
    [wanted.session, annotation(event, 'session')],
    [wanted.code, event.responseStatus?.code],
    [wanted.reason, annotation(event, 'reason')],
    [wanted.stage, event.stage],
  ];
  return (
    facts.every(([want, has]) => want === undefined || want === has) &&
    Object.entries(wanted.facts ?? {}).every(([name, pattern]) => pattern.test(annotation(event, name) ?? ''))
  );
}

/**
 * Returns whether the audit log has these in this order. Others may lie between them.
 * @param series at least one
 */
export function happened({ events }: Pick<Evidence, 'events'>, ...series: readonly Wanted[]): boolean {
  let next = 0;
  for (const event of events) {
    const wanted = series[next];
    if (wanted !== undefined && matches(event, wanted)) next += 1;
  }
  return series.length > 0 && next === series.length;
}
