/** How the tour speaks: chapters, the commands it types, and claims that are checked before they are printed. */

/** The first claim of the tour that did not hold. */
export class ClaimFailed extends Error {}

export class Story {
  readonly #out: NodeJS.WritableStream;
  #chapter = 0;
  #claims = 0;

  constructor(out: NodeJS.WritableStream) {
    this.#out = out;
  }

  get claims(): number {
    return this.#claims;
  }

  chapter(title: string): void {
    this.#chapter += 1;
    this.#say(`\n${this.#chapter}. ${title}`);
  }

  narrate(statement: string): void {
    this.#say(`   ${statement}`);
  }

  /** The command as a user would type it. */
  command(who: string, line: string): void {
    this.#say(`   ${who}$ ${line}`);
  }

  /** What a command answered, shortened to a screen. */
  output(text: string, lines = 8): void {
    const all = text.trimEnd().split('\n');
    for (const line of all.slice(0, lines)) this.#say(`     | ${line.slice(0, 150)}`);
    if (all.length > lines) this.#say(`     | … ${all.length - lines} more lines`);
  }

  /**
   * Prints the claim with a tick when it holds.
   * @throws ClaimFailed with what was seen instead
   */
  claim(statement: string, holds: boolean, seen: string): void {
    if (!holds) throw new ClaimFailed(`${statement}\n     seen instead: ${seen.trim().slice(0, 2000)}`);
    this.#claims += 1;
    this.#say(`   ✓ ${statement}`);
  }

  #say(line: string): void {
    this.#out.write(`${line}\n`);
  }
}
