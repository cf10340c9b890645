/** Stages of several parts: what was started ends in the reverse order, also where the rest of it does not start. */

export type Stops = (() => unknown)[];

/** @param start puts the end of each part into the list as soon as the part is there */
export async function staged<T extends object>(
  start: (stops: Stops) => Promise<T>,
): Promise<T & { readonly stop: () => Promise<void> }> {
  const stops: Stops = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).toReversed()) await end();
  };
  try {
    return Object.assign(await start(stops), { stop });
  } catch (error) {
    await stop();
    throw error;
  }
}
