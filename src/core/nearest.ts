/**
 * Returns the known name that is nearest to an unknown one; undefined where none is near.
 *
 * An attacker sends a name of a kilobyte, which would be compared letter by letter with each of a hundred: a name whose
 * length alone makes it too far is not compared at all.
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = known
    .filter((candidate) => Math.abs(candidate.length - name.length) <= reach(candidate))
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= reach(candidate))
    .toSorted((a, b) => a.distance - b.distance);
  return best?.candidate;
}

/** By how many letters a name may differ and still be meant. */
const reach = (candidate: string): number => Math.max(1, Math.floor(candidate.length / 3));

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const change = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(change, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
