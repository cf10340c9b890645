/** How far the reading is, on a terminal only: what a spinner turns beside. */
import { KIND_NAMES, type Kind } from './rules/kinds.ts';
import type { CliContext } from '../cli/context.ts';

const CELLS = 20;

export interface Progress {
  show(kind: Kind, taken: number, total: number): void;
  end(): void;
}

export function progressOf(context: Pick<CliContext, 'working'>): Progress {
  let stop = (): void => undefined;
  return {
    show(kind, taken, total) {
      stop();
      stop = context.working(progressWords(kind, taken, total));
    },
    end() {
      stop();
      stop = () => undefined;
    },
  };
}

/** `[######--------------] pods 12500 of 50000`: each kind has the same share of the bar. */
function progressWords(kind: Kind, taken: number, total: number): string {
  const part = total === 0 ? 0 : Math.min(1, taken / total);
  const filled = Math.floor(((KIND_NAMES.indexOf(kind) + part) / KIND_NAMES.length) * CELLS);
  const words = total === 0 ? kind : `${kind} ${taken} of ${total}`;
  return `[${'#'.repeat(filled)}${'-'.repeat(CELLS - filled)}] ${words}`;
}
