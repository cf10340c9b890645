/** Draws a recording as a terminal of its own colours, so that it is legible on a light page as on a dark one. */
import type { Frame } from './recording.ts';

const LINE = 18;
const COLUMN = 7.83;
const MARGIN = 16;
const BAR = 34;
/** Seconds: to read the end, before it begins again. */
const REST = 8;

const STYLE = `
text { font: 13px ui-monospace, SFMono-Regular, 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #cbd8d3; white-space: pre }
.h { fill: #fff; font-weight: 700 } .p { fill: #56d4c4 } .c { fill: #fff } .t { fill: #74dfa4 } .o { fill: #9fb1ab } .n { fill: #9fb1ab; font-size: 12px }`;

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** As demo/tour/story.ts writes: chapters, prompts with commands, ticks, output. */
function styled(line: string): readonly (readonly [name: string, text: string])[] {
  const prompt = /^(\s*\w*\$ )(.*)$/.exec(line);
  if (prompt !== null)
    return [
      ['p', prompt[1] ?? ''],
      ['c', prompt[2] ?? ''],
    ];
  const tick = /^(\s*✓)(.*)$/.exec(line);
  if (tick !== null)
    return [
      ['t', tick[1] ?? ''],
      ['', tick[2] ?? ''],
    ];
  if (/^\d+\. |^\d+ claims held/.test(line)) return [['h', line]];
  return [[/^\s*\|/.test(line) ? 'o' : '', line]];
}

/** A line as the rows that a terminal of so many columns breaks it into. */
function rowsOf(line: string, columns: number): readonly string[] {
  const rows: string[] = [''];
  let used = 0;
  for (const [name, text] of styled(line)) {
    const letters = Array.from(text);
    while (letters.length > 0) {
      if (used === columns) {
        rows.push('');
        used = 0;
      }
      const part = letters.splice(0, columns - used);
      used += part.length;
      const safe = escape(part.join(''));
      rows[rows.length - 1] += name === '' ? safe : `<tspan class="${name}">${safe}</tspan>`;
    }
  }
  return rows;
}

/**
 * Draws all rows one below the other; what is shown of them moves up, in steps, at the times of the recording. A user who wants no motion sees
 * the end, but Chromium tells a picture within a page nothing of that setting: for it there is the end alone.
 * @returns an SVG without scripts
 */
export function drawRecording(
  frames: readonly Frame[],
  {
    command,
    columns,
    rows,
    moves = true,
  }: { readonly command: string; readonly columns: number; readonly rows: number; readonly moves?: boolean },
): string {
  const drawn: string[] = [...rowsOf(`$ ${command}`, columns)];
  const steps = [{ at: 0, shown: drawn.length }];
  for (const { at, text } of frames) {
    for (const line of text.split('\n').slice(0, -1)) drawn.push(...rowsOf(line, columns));
    steps.push({ at, shown: drawn.length });
  }
  const seconds = (frames.at(-1)?.at ?? 0) + REST;
  const [width, height] = [Math.ceil(columns * COLUMN) + 2 * MARGIN, rows * LINE + 2 * MARGIN + BAR];
  const top = BAR + MARGIN;
  const moved = (shown: number): string => `transform: translateY(${(rows - shown) * LINE}px)`;
  const frame = ({ at, shown }: { at: number; shown: number }): string =>
    `${((100 * at) / seconds).toFixed(2)}% { ${moved(shown)} }`;
  const motion = `#rows { animation: tour ${seconds.toFixed(1)}s step-end infinite }
@keyframes tour { ${steps.map(frame).join(' ')} }
@media (prefers-reduced-motion: reduce) { #rows { animation: none } }
`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>A recording of ${command}: users sign in and work, one is revoked, and each claim is checked</title>
<style>${STYLE}
#rows { ${moved(drawn.length)} }
${moves ? motion : ''}</style>
<clipPath id="screen"><rect x="0" y="${top}" width="${width}" height="${rows * LINE}"/></clipPath>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10" fill="#0b1110" stroke="#3a4a46"/>
<path d="M0.5 ${BAR}V10.5a10 10 0 0 1 10-10h${width - 21}a10 10 0 0 1 10 10V${BAR}z" fill="#131b19" stroke="#3a4a46"/>
<circle cx="20" cy="17" r="5.5" fill="#3a4a46"/><circle cx="39" cy="17" r="5.5" fill="#3a4a46"/><circle cx="58" cy="17" r="5.5" fill="#3a4a46"/>
<text class="n" x="${width / 2}" y="21" text-anchor="middle">${escape(command)}</text>
<g clip-path="url(#screen)"><g id="rows">
${drawn.map((row, index) => (row === '' ? '' : `<text x="${MARGIN}" y="${top + index * LINE + 13}">${row}</text>\n`)).join('')}</g></g>
</svg>
`;
}
