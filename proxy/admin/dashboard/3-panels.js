/*
 * The panels: each function shows one part of what the admin plane said. Lists are made anew
 * each time; they are short.
 */

const RESULT_CLASS = {
  HIT: 'c-hit', REVALIDATED: 'c-revalidated', STALE: 'c-stale', MISS: 'c-miss',
  BYPASS: 'c-bypass', PASS: 'c-pass',
};

function showList(name, items) {
  replace($(name), items);
  $(name).hidden = items.length === 0;
  $(`${name}-empty`).hidden = items.length > 0;
}

/* ---- the bar and the figures ---- */

function showHealth(health, stats) {
  const status = (health && health.status) || stats.status || '';
  const kind = { HEALTHY: 'good', WARMING: 'warn', DEGRADED: 'warn', DOWN: 'bad' }[status] || '';
  const pill = $('health');
  pill.hidden = !status;
  pill.className = `pill ${kind}`;
  say(pill, status.charAt(0) + status.slice(1).toLowerCase());
  say($('version'), stats.version ? `v${stats.version}` : '');
  showBanner([...((health && health.problems) || []), ...firing(stats)], kind);
}

/* Alerts that fire, as problems; one for each condition, however many receivers it has. */
function firing(stats) {
  const rules = ((stats.alerts && stats.alerts.rules) || []).filter((r) => r.firing);
  return rules.filter((r, i) => rules.findIndex((o) => o.alert === r.alert) === i)
    .map((r) => ({ what: `alert ${r.alert}`, detail: r.detail, since: r.since }));
}

/* Made anew only when something changed: screen readers say it each time. */
function showBanner(problems, kind) {
  const banner = $('banner');
  const items = problems.map((p) => el('li', {}, el('strong', {}, `${p.what}: `),
    el('span', {}, String(p.detail || '')), p.since ? el('small', {}, ` since ${clock(p.since)}`) : null));
  banner.hidden = problems.length === 0;
  banner.className = `banner ${kind === 'bad' ? 'bad' : ''}`;
  const list = el('ul', {}, ...items);
  if (!banner.firstChild || !banner.firstChild.isEqualNode(list)) banner.replaceChildren(list);
}

/* What came between the oldest sample of the last `ms` and the newest. */
function recently(samples, ms) {
  const now = samples[samples.length - 1];
  const from = samples.find((s) => s.at >= now.at - ms);
  const uptime = number(now.stats.uptime_seconds) - number(from.stats.uptime_seconds);
  return from === now || uptime < 0 ? null : { from: from.stats, to: now.stats, ms: now.at - from.at };
}

function showRatio(stats, window) {
  const of = (name) => (window ? number(window.to[name]) - number(window.from[name]) : 0);
  const asked = of('hits') + of('misses');
  const all = number(stats.hits) + number(stats.misses);
  const rate = asked > 0 ? (of('hits') * 100) / asked : number(stats.hit_rate);
  say($('f-ratio'), all > 0 ? percent(rate) : '–');
  say($('f-ratio-all'), percent(stats.hit_rate));
  $('f-ratio-unit').hidden = $('f-ratio-note').hidden = all === 0;
  $('f-ratio-none').hidden = all > 0;
  say($('f-ratio-none'), number(stats.total_requests) > 0 ? 'nothing cacheable yet' : 'no traffic yet');
}

const money = (v) => (v < 10000
  ? v.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 }) : short(v));

function showSaved(saved) {
  const requests = number(saved.requests);
  say($('f-saved'), saved.money ? money(saved.money) : short(requests));
  say($('f-saved-unit'), saved.money ? 'of cost' : requests === 1 ? 'request' : 'requests');
  say($('f-saved-note'), `${saved.money ? `${plural(requests, 'upstream request')}, ` : ''}${
    span(saved.seconds)} of upstream time`);
}

function showFigures(stats, window) {
  const last = chart.last();
  say($('f-rate'), last ? perSecond(last.total) : '–');
  say($('f-total'), grouped.format(number(stats.total_requests)));
  showRatio(stats, window);
  const latency = stats.latency_ms || {};
  const [value, unit] = latency.hit && latency.hit.count > 0 ? timeParts(latency.hit.p99) : ['–', ''];
  say($('f-hit'), value);
  say($('f-hit-unit'), unit);
  say($('f-miss'), latency.miss && latency.miss.count > 0 ? `a miss takes ${time(latency.miss.p99)}` : 'no miss measured yet');
  const errors = window && window.ms > 0
    ? (Math.max(0, number(window.to.errors) - number(window.from.errors)) * 60000) / window.ms : 0;
  say($('f-errors'), errors > 0 && errors < 1 ? '<1' : short(errors));
  say($('f-errors-all'), grouped.format(number(stats.errors)));
  $('figure-errors').classList.toggle('bad', errors > 0);
  showSaved(stats.saved || {});
  say($('foot-text'), `up ${span(stats.uptime_seconds)} · ${bytes(stats.bytes_sent)} sent`);
  $('foot').hidden = false;
}

/* ---- reasons, routes ---- */

function showReasons(stats, window) {
  const then = (window && window.from.reasons) || {};
  const recent = Object.entries(stats.reasons || {})
    .map(([word, n]) => [word, number(n) - (window ? number(then[word]) : 0)])
    .filter(([word, n]) => n > 0 && word !== '-');
  const total = recent.reduce((sum, [, n]) => sum + n, 0);
  recent.sort((a, b) => b[1] - a[1]);
  say($('reasons-span'), window ? `last ${span(window.ms / 1000)}` : 'since the start');
  say($('reasons-empty'), number(stats.total_requests) === 0 ? 'No traffic yet.'
    : window ? 'Nothing but plain hits, or no request at all, lately.' : 'Nothing but plain hits so far.');
  showList('reasons', recent.slice(0, 9).map(([word, n]) => el('li', {},
    el('span', { class: 'name mono', title: word }, word), el('b', {}, short(n)),
    el('small', {}, n * 200 < total ? '<1 %' : `${Math.round((n * 100) / total)} %`),
    el('span', { class: 'meter c-miss' }, bar(n / recent[0][1])))));
}

const all = (r) => ['hits', 'misses', 'stale', 'revalidated', 'bypass', 'pass', 'own_answers']
  .reduce((sum, name) => sum + number(r[name]), 0);
const served = (r) => number(r.hits) + number(r.misses) > 0;
const p99 = (h) => (h && h.count > 0 ? h.p99 : null);

/* A path that may be broken after its slashes. */
const breakable = (path) => path.split(/(?<=\/)/).flatMap((part) => [part, el('wbr')]);

/* Title, what it is sorted by, and its cell. */
const COLUMNS = [
  ['Route', null, (r) => {
    const name = r.site ? `${r.site} ${r.route}` : String(r.route);
    const cell = el('td', {}, el('span', { class: 'mono' }, ...breakable(name)));
    if (r.type) cell.append(el('span', { class: 'type' }, String(r.type)));
    return cell;
  }],
  ['Hit ratio', (r) => (served(r) ? number(r.hit_rate) : -1), (r) => el('td', { class: 'wide' },
    served(r) ? el('span', { class: 'ratio' },
      el('span', { class: 'track' }, bar(number(r.hit_rate) / 100)),
      el('b', {}, `${percent(r.hit_rate)} %`)) : el('span', { class: 'zero' }, 'not cached'))],
  ['Requests', all, (r) => plain(all(r))],
  ['Hits', (r) => number(r.hits), (r) => plain(r.hits)],
  ['Misses', (r) => number(r.misses), (r) => plain(r.misses)],
  ['Stale', (r) => number(r.stale), (r) => plain(r.stale)],
  ['Bypass', (r) => number(r.bypass), (r) => plain(r.bypass)],
  ['Errors', (r) => number(r.errors), (r) => plain(r.errors, r.errors > 0 ? 'alarm' : null)],
  ['Hit p99', (r) => p99((r.latency_ms || {}).hit) ?? -1, (r) => timeCell((r.latency_ms || {}).hit)],
  ['Miss p99', (r) => p99((r.latency_ms || {}).miss) ?? -1, (r) => timeCell((r.latency_ms || {}).miss)],
];
const ROUTES_FEW = 12; // rows before somebody asks for all
const table = { by: 2, up: false, all: false, filter: '' };

function plain(v, kind = null) {
  return el('td', { class: kind }, number(v) > 0 ? short(v) : el('span', { class: 'zero' }, '0'));
}

function timeCell(h) {
  const value = p99(h);
  return el('td', {}, value === null ? el('span', { class: 'zero' }, '–') : time(value));
}

function showRoutes(stats) {
  const routes = (stats.routes || []).filter((r) => all(r) > 0);
  const wanted = routes.filter((r) => `${r.site || ''} ${r.route} ${r.type || ''}`.toLowerCase().includes(table.filter));
  const key = COLUMNS[table.by][1];
  wanted.sort((a, b) => (table.up ? key(a) - key(b) : key(b) - key(a)));
  const shown = table.all ? wanted : wanted.slice(0, ROUTES_FEW);
  replace($('routes').querySelector('tbody'), shown.map((r) => {
    const cells = COLUMNS.map(([, , cell]) => cell(r));
    cells.forEach((cell, i) => cell.setAttribute('data-label', COLUMNS[i][0]));
    return el('tr', {}, ...cells);
  }));
  $('routes').hidden = shown.length === 0;
  $('routes-empty').hidden = shown.length > 0;
  say($('routes-empty'), routes.length > 0 ? 'No route with requests has this in its name or type.'
    : 'No request has come yet. Point a client at Larder’s listener, and its route appears here.');
  $('routes-filter').hidden = routes.length <= ROUTES_FEW;
  $('routes-more').hidden = wanted.length <= ROUTES_FEW;
  $('routes-more').setAttribute('aria-expanded', String(table.all));
  say($('routes-more'), table.all ? `Show the first ${ROUTES_FEW} only` : `Show all ${wanted.length} routes`);
  say($('routes-span'), routes.length > 0 ? `${plural(routes.length, 'route')} with requests since the start` : 'since the start');
}

function sortRoutes(column) {
  table.up = table.by === column && !table.up;
  table.by = column;
  $('routes').querySelectorAll('th').forEach((h, k) => {
    if (k === column) h.setAttribute('aria-sort', table.up ? 'ascending' : 'descending');
    else h.removeAttribute('aria-sort');
  });
}

function startRoutes(redraw) {
  $('routes').querySelector('tr').replaceChildren(...COLUMNS.map(([title, key], i) => {
    const th = el('th', { scope: 'col', 'aria-sort': i === table.by ? 'descending' : null });
    if (!key) {
      th.append(title);
      return th;
    }
    const button = el('button', { type: 'button' }, title);
    button.addEventListener('click', () => {
      sortRoutes(i);
      redraw();
    });
    th.append(button);
    return th;
  }));
  $('routes-filter').addEventListener('input', () => {
    table.filter = $('routes-filter').value.trim().toLowerCase();
    redraw();
  });
  $('routes-more').addEventListener('click', () => {
    table.all = !table.all;
    redraw();
  });
}

/* ---- latency: 10 µs to 100 s on a logarithmic rail ---- */

const decade = (ms) => Math.max(0, Math.min(1, (Math.log10(Math.max(ms, 0.01)) + 2) / 7)) * 100;

function showRange(title, kind, h) {
  const at = (ms) => `${decade(ms).toFixed(2)}%`;
  const rail = svg('svg', { 'aria-hidden': 'true' },
    svg('line', { class: 'rail', x1: 0, x2: '100%', y1: 11, y2: 11 }));
  const values = el('dl', {});
  const some = h && h.count > 0;
  if (some) {
    rail.append(
      svg('line', { class: 'spread', x1: at(h.p50), x2: at(h.p90), y1: 11, y2: 11 }),
      svg('line', { class: 'max', x1: at(h.max), x2: at(h.max), y1: 7, y2: 15 }),
      svg('line', { class: 'p99', x1: at(h.p99), x2: at(h.p99), y1: 4, y2: 18 }),
      svg('circle', { class: 'p50', cx: at(h.p50), cy: 11, r: 5.5 }));
  }
  for (const name of ['p50', 'p90', 'p99', 'max']) {
    values.append(el('div', {}, el('dt', {}, name), el('dd', {}, some ? time(h[name]) : '–')));
  }
  return el('div', { class: `range ${kind}` },
    el('p', { class: 'top' }, title, el('span', {}, some ? `${short(h.count)} measured` : 'none yet')),
    rail, values);
}

function showLatency(stats) {
  const latency = stats.latency_ms || {};
  replace($('latency'), [showRange('From the cache', 'c-hit', latency.hit),
    showRange('Misses', 'c-miss', latency.miss),
    showRange('Upstream alone', 'c-bypass', stats.upstream_ms)]);
}

/* ---- tiers, journal ---- */

function facts(...pairs) {
  return el('dl', { class: 'facts' }, ...pairs.map(([name, value, bad]) =>
    el('div', {}, el('dt', {}, name), el('dd', { class: bad ? 'bad' : null, title: value }, value))));
}

function tier(title, state, ...parts) {
  return el('div', { class: 'tier' },
    el('h3', {}, title, state ? el('span', { class: `dot ${state[0]}` }, state[1]) : null), ...parts);
}

function showMemory(l1) {
  const part = l1.capacity > 0 ? number(l1.bytes) / l1.capacity : 0;
  return tier('Memory', null,
    el('div', { class: `fill ${part > 0.97 ? 'full' : ''}` }, bar(part)),
    facts(['used', bytes(l1.bytes)], ['of', bytes(l1.capacity)], ['entries', short(l1.entries)],
      ['evicted', short(l1.evictions)]));
}

function showRedis(stats, l2) {
  const redis = stats.redis;
  if (!redis) return null;
  return tier('Redis', redis.connected ? ['good', 'connected'] : ['bad', redis.state || 'not connected'],
    facts(['hits', short(l2.hits)], ['misses', short(l2.misses)],
      ['errors', short(l2.errors), l2.errors > 0],
      ['memory', typeof redis.used_memory === 'number' ? bytes(redis.used_memory) : '–']));
}

function showJournal(journal) {
  const state = journal.uncertain ? ['bad', 'uncertain']
    : ['good', journal.alone ? 'alone' : 'current'];
  return tier('Invalidation journal', state, facts(
    ['lag', typeof journal.lag_ms === 'number' ? time(journal.lag_ms) : '–'],
    ['patterns', short(journal.patterns)],
    ['shapes', short(journal.shapes)], ['waiting', short(journal.outbox), journal.outbox > 0]),
  el('p', { class: 'position', title: 'position of the last record' }, `at ${journal.position ?? '–'}`));
}

function showTiers(stats) {
  const tiers = stats.tiers || {};
  say($('backend'), { memory: 'memory only', redis: 'Redis', 'redis+memory': 'memory and Redis' }[stats.backend] || '');
  replace($('tiers'), [showMemory(tiers.l1 || {}), showRedis(stats, tiers.l2 || {}),
    showJournal(stats.journal || {})].filter(Boolean));
}

/* ---- upstreams, breakers ---- */

function showParts(stats) {
  const rows = [];
  for (const u of stats.upstreams || []) {
    for (const s of u.servers || []) {
      const up = s.state === 'up';
      rows.push(el('li', {}, el('span', { class: 'name' }, String(u.upstream), ' ',
        el('small', { class: 'mono' }, String(s.address))),
      el('small', {}, `${plural(number(s.requests), 'request')}${s.failures > 0 ? `, ${short(s.failures)} failed` : ''}`),
      el('span', { class: `dot ${up ? 'good' : 'bad'}` }, String(s.state))));
    }
  }
  for (const b of stats.breakers || []) {
    const kind = { closed: 'good', open: 'bad' }[b.state] || 'warn';
    rows.push(el('li', {}, el('span', { class: 'name' }, String(b.name), ' ', el('small', {}, 'breaker')),
      el('span', { class: `dot ${kind}` }, String(b.state))));
  }
  replace($('parts'), rows);
  const c = stats.connections || {};
  say($('connections'), `${plural(number(c.clients), 'client')}, ${plural(number(c.upstream), 'upstream connection')}`);
}

/* ---- top, log ---- */

function showTop(top, onClear) {
  const keys = (top && top.keys) || [];
  $('keys').closest('section').hidden = !has('top');
  const most = Math.max(1, ...keys.map((k) => number(k.hits)));
  showList('keys', keys.slice(0, 8).map((k) => {
    const button = el('button', { type: 'button', class: 'mini act', 'aria-label': `Clear ${k.name}` }, 'Clear');
    button.addEventListener('click', () => onClear(String(k.name)));
    return el('li', {}, el('span', { class: 'name mono', title: k.name }, String(k.name)), button,
      el('b', {}, short(k.hits)), el('span', { class: 'meter c-hit' }, bar(number(k.hits) / most)));
  }));
  showList('slow', ((top && top.slow) || []).slice(0, 5).map((s) => el('li', {},
    el('span', { class: 'name mono', title: s.name }, String(s.name)),
    el('small', {}, clock(s.at)), el('b', {}, time(s.ms)))));
}

const requests = [];
let logAll = false;

/* Behind a route of the data port this page's own requests are among them. */
const own = (r) => root !== '/' && String(r.path).startsWith(root);

function showLog(log) {
  $('log').closest('section').hidden = !has('log');
  requests.unshift(...((log && log.requests) || []).filter((r) => !own(r)).reverse());
  requests.length = Math.min(requests.length, 400);
  const shown = requests.filter((r) => logAll || r.cache !== 'HIT').slice(0, 14);
  replace($('log'), shown.map((r) => el('li', {},
    el('time', {}, clock(r.time)),
    el('span', { class: `chip ${RESULT_CLASS[r.cache] || 'c-own'}` }, r.cache && r.cache !== '-' ? r.cache : 'OWN'),
    el('span', { class: 'what', title: `${r.method} ${r.path}` }, `${r.method} ${r.path}`),
    el('span', { class: 'why' }, r.status >= 500 ? el('span', { class: 'status-bad' }, `${r.status} `) : null,
      r.reason && r.reason !== '-' ? String(r.reason) : ''),
    el('span', { class: 'took' }, time(number(r.ms))))));
  $('log-empty').hidden = shown.length > 0;
  say($('log-empty'), requests.length > 0 ? 'Only plain hits lately.' : 'Waiting for requests…');
}

function startLog() {
  const choose = (value) => {
    logAll = value;
    $('log-all').setAttribute('aria-pressed', String(value));
    $('log-misses').setAttribute('aria-pressed', String(!value));
    showLog(null);
  };
  $('log-all').addEventListener('click', () => choose(true));
  $('log-misses').addEventListener('click', () => choose(false));
}
