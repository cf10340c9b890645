/** Runs in the page: panels from their JSON and their answers, with uPlot. */
const PALETTE = [
  '#56a64b',
  '#e0a800',
  '#3274d9',
  '#e02f44',
  '#a352cc',
  '#ff780a',
  '#19a2a8',
  '#8f3bb8',
  '#6e9fff',
  '#37872d',
];
const COLOURS = { green: '#37872d', orange: '#e0752d', red: '#c4162a', text: '#24292e' };

const SUFFIX = { reqps: ' req/s', cps: ' c/s', opm: ' ops/min', bytes: ' B' };

const rounded = (value) =>
  value === 0 ? '0' : Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));

function secondsText(value) {
  const size = Math.abs(value);
  if (size >= 86_400) return `${rounded(value / 86_400)} days`;
  if (size >= 3600) return `${rounded(value / 3600)} hours`;
  if (size >= 60) return `${rounded(value / 60)} mins`;
  return size >= 1 || size === 0 ? `${rounded(value)} s` : `${rounded(value * 1000)} ms`;
}

function valueText(value, { unit, mappings = [] }) {
  const mapped = mappings.flatMap(({ options }) => options[String(value)]?.text ?? [])[0];
  if (mapped !== undefined) return mapped;
  if (unit === 's') return secondsText(value);
  if (unit === 'percentunit') return `${rounded(value * 100)}%`;
  return `${rounded(value)}${SUFFIX[unit] ?? ''}`;
}

const colourOf = (value, { thresholds }) =>
  COLOURS[(thresholds?.steps ?? []).findLast((step) => step.value === null || step.value <= value)?.color] ??
  COLOURS.text;

const element = (tag, text = '', name = '') => {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
};

function stats({ series }, defaults) {
  const box = element('div', '', 'stats');
  for (const { name, values } of series) {
    const last = values.findLast((value) => value !== null);
    if (last === undefined) continue;
    const one = element('div');
    const shown = element('b', valueText(last, defaults));
    shown.style.color = colourOf(last, defaults);
    if (series.length > 1) one.append(element('span', name));
    one.append(shown);
    box.append(one);
  }
  return box;
}

/** Smaller until all values fit, as Grafana does. */
function fit(box) {
  const shown = [...box.querySelectorAll('b')];
  const isTooWide = () => shown.reduce((sum, one) => sum + one.offsetWidth + 12, 0) > box.clientWidth;
  for (let size = 26; size > 11 && isTooWide(); size -= 1) for (const one of shown) one.style.fontSize = `${size}px`;
}

function timeSeries(section, { times, series }, { defaults }) {
  const plot = section.appendChild(element('div', '', 'plot'));
  const legend = section.appendChild(element('div', '', 'legend'));
  series.forEach(({ name }, index) => {
    const item = legend.appendChild(element('span', name));
    const mark = element('i');
    mark.style.background = PALETTE[index % PALETTE.length];
    item.prepend(mark);
  });
  const grid = { stroke: '#e6e8eb', width: 1 };
  const axis = { stroke: '#5a626b', grid, ticks: { ...grid, size: 4 }, font: '11px sans-serif' };
  const chart = new uPlot(
    {
      width: plot.clientWidth,
      height: plot.clientHeight,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_, min, max) => [Math.min(0, min ?? 0), (max ?? 0) <= 0 ? 1 : max * 1.1] } },
      axes: [
        {
          ...axis,
          size: 28,
          values: (_, splits) => splits.map((time) => new Date(time * 1000).toISOString().slice(11, 19)),
        },
        { ...axis, size: 78, values: (_, splits) => splits.map((value) => valueText(value, defaults)) },
      ],
      series: [
        {},
        ...series.map(({ name }, index) => {
          const stroke = PALETTE[index % PALETTE.length];
          return { label: name, stroke, width: 2, fill: `${stroke}14`, points: { show: false } };
        }),
      ],
    },
    [times, ...series.map(({ values }) => values)],
  );
  plot.append(chart.root);
}

globalThis.drawDashboard = ({ title, panels, answers }) => {
  document.querySelector('h1').textContent = title;
  panels.forEach((panel, index) => {
    const { x, y, w, h } = panel.gridPos;
    const section = document.querySelector('main').appendChild(element('section'));
    section.style.gridArea = `${y + 1} / ${x + 1} / span ${h} / span ${w}`;
    section.append(element('h2', panel.title));
    const answer = answers[index];
    if (answer.series.length === 0) section.append(element('div', 'No data', 'none'));
    else if (panel.type === 'stat') fit(section.appendChild(stats(answer, panel.fieldConfig.defaults)));
    else timeSeries(section, answer, panel.fieldConfig);
  });
};
