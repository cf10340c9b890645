/**
 * Writes docs/request-costs.md from the table of what one request may cost: `node scripts/request-costs.ts`. A unit test
 * compares the two, and `test/security/cost.test.ts` measures each row.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LIMITERS, type CostRow, type Limiter } from '../test/security/cost/row.ts';
import { HELD_ROWS, type HeldRow } from '../test/security/cost/held-rows.ts';
import { ROWS, SURFACES } from '../test/security/cost/table.ts';
import { entry, wrapped } from './markdown-text.ts';

export const COSTS_FILE = fileURLToPath(new URL('../docs/request-costs.md', import.meta.url));

export const REGENERATE_COSTS = 'node scripts/request-costs.ts';

const HEAD = `# What a request may cost

<!-- Written by \`${REGENERATE_COSTS}\` from test/security/cost. Do not edit. -->

An attacker does not need many requests where one costs a lot. So each operation, page and endpoint has a bound for its
worst permitted input, with a store that is as full as its limits allow: a thousand sessions of an account, as many
delegated ones with the largest limits, five hundred access requests that wait, a thousand grants. A test sends each
of these requests to a server in a process of its own and measures it.

Each entry has the CPU of the server (user and system, all threads), the number of commands and scripts that Redis is
sent, the CPU of Redis, and the size of the response; then who holds the number of such requests down
([the limits](#who-holds-the-number-down)), and the input. The figures are bounds and no averages: a usual request
costs a tenth of that ([sizing](sizing.md)). The test allows more by as much as a fixed piece of work takes longer on
the machine at hand, and subtracts what a replica does by itself. \`portcullis_event_loop_longest_turn_seconds\` shows
the longest time in which a replica did nothing else ([monitoring](monitoring.md)).
`;

const boundOf = ({ bound: { cpuMs, calls, redisMs, kB } }: CostRow): string =>
  `${cpuMs} ms, ${calls} commands, ${redisMs} ms of Redis, ${kB} kB`;

const entryOf = (row: CostRow): string =>
  entry(row.operation, `${boundOf(row)}; *${nameOf(row.limiter)}*. Worst: ${row.worst}.`);

const nameOf = (limiter: Limiter): string => limiter.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

const limits = (Object.keys(LIMITERS) as Limiter[])
  .filter((limiter) => [...ROWS, ...HELD_ROWS].some((row) => row.limiter === limiter))
  .map((limiter) => {
    const files = [...new Set(LIMITERS[limiter].tests.map(([file]) => `[\`${file}\`](../test/${file})`))];
    const tested = files.length === 0 ? '' : ` Used up by ${files.join(', ')}.`;
    return wrapped(`*${nameOf(limiter)}*: ${LIMITERS[limiter].says}.${tested}`, '- ');
  });

const HELD = `## What is held

What stays open, or waits, needs memory for as long. Each entry has what the heap and the buffers of the server grow by
for one, with the worst input; how many there may be at a replica, and whose; and what that is together. What OpenSSL
needs for a connection comes on top of it ([sizing](sizing.md#cost-figures) has resident memory).
`;

const heldEntry = ({ what, worst, kB, most, whose, limiter }: HeldRow): string =>
  entry(
    what,
    `${kB} kB; at most ${most} ${whose}, ${Math.ceil((kB * most) / 1000)} MB; *${nameOf(limiter)}*. Worst: ${worst}.`,
  );

export const requestCosts = (): string =>
  `${[
    HEAD,
    ...SURFACES.map(({ title, rows }) => `## ${title}\n\n${rows.map(entryOf).join('\n')}\n`),
    `${HELD}\n${HELD_ROWS.map(heldEntry).join('\n')}\n`,
    `## Who holds the number down\n\n${limits.join('\n')}`,
  ].join('\n')}\n`;

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(COSTS_FILE, requestCosts());
