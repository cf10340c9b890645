/** Creates running sinks from their settings. */
import process from 'node:process';
import type { Writable } from 'node:stream';
import type { AuditSinkSettings } from '../types.ts';
import { FileTarget } from './file-target.ts';
import { LineSink, type SinkParts } from './sink.ts';
import { streamTarget, type LineTarget } from './target.ts';
import { SpooledWebhook } from './webhook-spooled.ts';
import { requestLimits, webhookTarget, type RequestLimits } from './webhook.ts';

export interface SinksParts extends SinkParts {
  /** Where the stdout sink writes; the process's own stdout by default. */
  readonly stdout?: Writable | undefined;
  /** Milliseconds since the epoch. */
  readonly nowMs?: (() => number) | undefined;
  /** Of a webhook. Only tests have others. */
  readonly requests?: Partial<RequestLimits> | undefined;
}

/** Opens one sink for each setting, in their order. Files, spools and connections are opened in the background. */
export function openSinks(settings: readonly AuditSinkSettings[], parts: SinksParts): readonly LineSink[] {
  return settings.map((one) => new LineSink(targetOf(one, parts), { ...parts, limits: limitsOf(one, parts) }));
}

function targetOf(settings: AuditSinkSettings, parts: SinksParts): LineTarget {
  switch (settings.type) {
    case 'stdout':
      return streamTarget(parts.stdout ?? process.stdout);
    case 'file':
      return new FileTarget(settings, parts);
    case 'webhook': {
      const { spoolDir } = settings;
      if (spoolDir === undefined) return webhookTarget(settings, parts);
      return new SpooledWebhook({ ...settings, spoolDir }, { ...parts, closeTimeoutMs: parts.limits.closeTimeoutMs });
    }
  }
}

/** A distant server may take as long as its own time limit without counting as hanging. */
function limitsOf(settings: AuditSinkSettings, { limits, requests }: SinksParts): SinkParts['limits'] {
  if (settings.type !== 'webhook' || settings.spoolDir !== undefined) return limits;
  return { ...limits, stallMs: Math.max(limits.stallMs, requestLimits({ requests }).timeoutMs) };
}
