/*
 * Requests per second by result: stacked areas over the last five minutes, from the differences
 * between samples of /stats. Drawn anew with each sample at the element's own size.
 */

const RESULTS = [
  ['hit', 'hits', 'Hit'],
  ['revalidated', 'revalidated', 'Revalidated'],
  ['stale', 'stale', 'Stale'],
  ['miss', 'misses', 'Miss'],
  ['bypass', 'bypass', 'Bypass'],
  ['pass', 'pass', 'Pass'],
  ['own', 'own_answers', 'Own answers'],
];
const CHART_MS = 300000;
const CHART_LEAST_MS = 60000; // shown at first, until there is more

const chart = {
  points: [], // { at, rates: { hit: …, }, total }
  cursor: -1, // index of the point that is pointed at

  /* The rates between two samples; a restart of Larder in between makes none. */
  add(before, now) {
    const seconds = (now.at - before.at) / 1000;
    if (seconds <= 0 || number(now.stats.uptime_seconds) < number(before.stats.uptime_seconds)) {
      return;
    }
    const rates = {};
    let total = 0;
    for (const [name, field] of RESULTS) {
      const rate = Math.max(0, number(now.stats[field]) - number(before.stats[field])) / seconds;
      rates[name] = rate;
      total += rate;
    }
    this.points.push({ at: now.at, rates, total });
    while (this.points.length > 0 && this.points[0].at < now.at - CHART_MS - 4000) {
      this.points.shift();
      this.cursor = Math.max(-1, this.cursor - 1);
    }
  },

  clear() {
    this.points = [];
    this.cursor = -1;
  },

  last() {
    return this.points[this.points.length - 1];
  },
};

/* The next round number that is not below v, and whose half is round too. */
function niceCeiling(v) {
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 3, 4, 6, 8, 10].map((f) => f * power).find((c) => c >= v * 0.999);
}

function chartScale() {
  const box = $('plot').getBoundingClientRect();
  const now = chart.last().at;
  const wide = Math.max(CHART_LEAST_MS, Math.min(CHART_MS, now - chart.points[0].at));
  const top = niceCeiling(Math.max(1, ...chart.points.map((p) => p.total)));
  const area = { left: 40, right: Math.max(60, box.width - 2), top: 8, bottom: Math.max(60, box.height - 24) };
  return {
    area, top, now, wide,
    x: (at) => area.right - ((now - at) / wide) * (area.right - area.left),
    y: (rate) => area.bottom - (rate / top) * (area.bottom - area.top),
  };
}

function drawGrid(scale) {
  const { area, top } = scale;
  const parts = [];
  for (let i = 0; i <= 4; i++) {
    const rate = (top * i) / 4;
    const y = Math.round(scale.y(rate)) + 0.5;
    parts.push(svg('line', { class: 'grid', x1: area.left, x2: area.right, y1: y, y2: y }));
    if (i % 2 === 0) {
      parts.push(svg('text', { x: area.left - 8, y: y + 4, 'text-anchor': 'end' },
        rate >= 10 || Number.isInteger(rate) ? short(rate) : rate.toFixed(1)));
    }
  }
  const step = scale.wide > 150000 ? 60000 : scale.wide > 75000 ? 30000 : 15000;
  for (let ago = 0; ago <= scale.wide; ago += step) {
    const x = scale.x(scale.now - ago);
    const edge = x - area.left < 24;
    parts.push(svg('text', {
      x: edge ? area.left : x, y: area.bottom + 18, 'text-anchor': ago === 0 ? 'end' : edge ? 'start' : 'middle',
    }, ago === 0 ? 'now' : `−${span(ago / 1000)}`));
  }
  return parts;
}

function drawAreas(scale) {
  const points = chart.points.filter((p) => p.at >= scale.now - CHART_MS);
  let floor = points.map(() => 0);
  return RESULTS.map(([name]) => {
    const upper = points.map((p, i) => floor[i] + p.rates[name]);
    const there = points.map((p, i) => `${scale.x(p.at).toFixed(1)},${scale.y(upper[i]).toFixed(1)}`);
    const back = points.map((p, i) => `${scale.x(p.at).toFixed(1)},${scale.y(floor[i]).toFixed(1)}`);
    floor = upper;
    return svg('path', { class: `f-${name}`, d: `M${there.join('L')}L${back.reverse().join('L')}Z` });
  });
}

function drawTip(scale) {
  const point = chart.points[chart.cursor];
  $('tip').hidden = !point;
  if (!point) return [];
  const x = scale.x(point.at);
  const ago = Math.round((scale.now - point.at) / 1000);
  $('tip').replaceChildren(
    el('p', {}, `${clock(point.at)}${ago > 0 ? `, ${span(ago)} ago` : ', now'}`),
    ...RESULTS.filter(([name]) => point.rates[name] > 0).reverse().map(([name, , title]) =>
      el('div', {}, el('span', { class: `swatch c-${name}` }), title,
        el('b', {}, perSecond(point.rates[name])))),
    el('div', {}, 'Together', el('b', {}, `${perSecond(point.total)}/s`)));
  const width = $('tip').offsetWidth;
  const left = x + 14 + width > scale.area.right ? x - 14 - width : x + 14;
  $('tip').style.left = `${Math.max(0, left)}px`;
  return [svg('line', { class: 'cursor', x1: x, x2: x, y1: scale.area.top, y2: scale.area.bottom })];
}

function drawLegend() {
  const last = chart.last();
  $('legend').replaceChildren(...RESULTS.map(([name, , title]) => {
    const rate = last ? last.rates[name] : 0;
    return el('li', { class: rate > 0 ? null : 'none' },
      el('span', { class: `swatch c-${name}` }), title, el('b', {}, perSecond(rate)));
  }));
}

function drawChart() {
  const enough = chart.points.length > 1;
  const quiet = enough && chart.points.every((p) => p.total === 0);
  $('plot-empty').hidden = enough && !quiet;
  say($('plot-empty'), quiet ? 'No traffic yet.' : 'Collecting the first samples…');
  drawLegend();
  if (!enough) {
    $('chart').replaceChildren();
    $('tip').hidden = true;
    return;
  }
  const scale = chartScale();
  $('chart').replaceChildren(...drawGrid(scale), ...drawAreas(scale), ...drawTip(scale));
  const last = chart.last();
  $('chart').setAttribute('aria-label', `Requests per second by result, now ${
    RESULTS.map(([name, , title]) => `${title} ${perSecond(last.rates[name])}`).join(', ')}`);
}

function pointAt(event) {
  if (chart.points.length < 2) return;
  const scale = chartScale();
  const x = event.clientX - $('plot').getBoundingClientRect().left;
  let best = 0;
  chart.points.forEach((p, i) => {
    if (Math.abs(scale.x(p.at) - x) < Math.abs(scale.x(chart.points[best].at) - x)) best = i;
  });
  chart.cursor = best;
  drawChart();
}

function moveCursor(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || chart.points.length < 2) return;
  event.preventDefault();
  const from = chart.cursor < 0 ? chart.points.length : chart.cursor;
  chart.cursor = Math.max(0, Math.min(chart.points.length - 1, from + step));
  drawChart();
}

function dropCursor() {
  chart.cursor = -1;
  if (chart.points.length > 0) drawChart();
}

function startChart() {
  $('plot').addEventListener('pointermove', pointAt);
  $('plot').addEventListener('pointerleave', dropCursor);
  $('chart').addEventListener('keydown', moveCursor);
  $('chart').addEventListener('blur', dropCursor);
  new ResizeObserver(() => { if (!$('board').hidden) drawChart(); }).observe($('plot'));
}
