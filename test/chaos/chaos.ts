/** The form of every test here: play a scenario, count what was admitted after the response reported that it was over. */
import { expect, it } from 'vitest';
import { launchedWithout, type Safeguard } from './broken-copy.ts';
import { Stage, type Accepted } from './stage.ts';

export interface Scene {
  /** What was admitted with a covered credential after `complete: true`. */
  readonly accepted: readonly Accepted[];
  /** What else must hold where every safeguard is in place, as sentences. */
  readonly holds?: Readonly<Record<string, boolean>>;
}

export interface Scenario {
  readonly play: (stage: Stage) => Promise<Scene>;
  /** Each switched off by itself must admit something. */
  readonly safeguards: readonly Safeguard[];
  /** A change of the sources in which the scenario is played even where all safeguards are in place. */
  readonly staged?: Safeguard;
}

/** Plays the scenario as it is, and once for each safeguard without it. */
export function chaos(name: string, { play, safeguards, staged }: Scenario): void {
  it.each([name])('%s', async () => {
    await using changed = staged === undefined ? undefined : await launchedWithout(staged);
    await using stage = new Stage(changed === undefined ? [] : [changed.option]);
    const { accepted, holds = {} } = await play(stage);
    expect(Object.keys(Object.groupBy(accepted, ({ replica, kind }) => `${kind} at ${replica}`))).toEqual([]);
    expect(Object.entries(holds).filter(([, held]) => !held)).toEqual([]);
  });
  it.each(safeguards)(`${name}: admits something without this: $name`, async (safeguard) => {
    await using changed = await launchedWithout(safeguard);
    await using stage = new Stage([changed.option]);
    const { accepted } = await play(stage);
    expect(accepted.length).toBeGreaterThan(0);
  });
}
