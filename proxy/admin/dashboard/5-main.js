/*
 * The page's life: without a token when the plane asks for none, else the form; then a round of
 * requests every two seconds for as long as the page can be seen.
 */

const ROUND_MS = 2000;
const SELDOM = 5;      // rounds between requests for what changes seldom
const RECENT_MS = 60000;

const page = {
  samples: [],   // { at, stats } of the last five minutes
  rounds: 0,
  cursor: null,  // of /log
  lost: 0,       // when the connection was lost; 0: it is there
  timer: 0,
  busy: false,
  session: 0,    // changes when the token is forgotten
  health: null,
};

function showLink(text, bad) {
  say($('link'), text);
  $('link').className = `link ${bad ? 'bad' : ''}`;
}

function showLogin(message) {
  clearTimeout(page.timer);
  kept.set(tab, TOKEN, null);
  for (const name of ['board', 'foot', 'open-clear', 'open-refresh', 'logout', 'banner', 'health']) $(name).hidden = true;
  document.querySelectorAll('dialog[open]').forEach((d) => d.close());
  $('login').hidden = false;
  $('login-error').hidden = !message;
  say($('login-error'), message || '');
  showLink('', false);
  page.session++;
  page.samples = [];
  page.cursor = null;
  requests.length = 0;
  chart.clear();
  $('token').value = '';
  $('token').focus();
}

function showBoard() {
  $('login').hidden = true;
  $('board').hidden = false;
  $('open-clear').hidden = false;
  $('logout').hidden = !kept.get(tab, TOKEN);
}

function take(stats) {
  const now = { at: Date.now(), stats };
  const before = page.samples[page.samples.length - 1];
  if (before && number(stats.uptime_seconds) < number(before.stats.uptime_seconds)) {
    page.samples = []; // Larder was restarted: its figures began anew
    page.cursor = null;
    chart.clear();
  } else if (before) {
    chart.add(before, now);
  }
  page.samples.push(now);
  while (page.samples[0].at < now.at - CHART_MS) page.samples.shift();
}

function show() {
  const { stats } = page.samples[page.samples.length - 1];
  showHealth(page.health, stats);
  showFigures(stats, recently(page.samples, RECENT_MS));
  showReasons(stats, recently(page.samples, CHART_MS));
  showRoutes(stats);
  showLatency(stats);
  showTiers(stats);
  showParts(stats);
  drawChart();
}

async function fetchSeldom(session) {
  if (page.rounds % SELDOM !== 0) return;
  const [metadata, routes] = await Promise.all([askMaybe('metadata'), askMaybe('routes')]);
  if (page.session !== session) return;
  showSchedule(metadata);
  const types = new Set(((routes && routes.routes) || []).map((r) => r.type).filter(Boolean));
  $('clear-types').replaceChildren(...[...types].sort().map((t) => el('option', { value: t })));
}

async function fetchAll(session) {
  const after = page.cursor === null ? 'n=100' : `n=100&after=${encodeURIComponent(page.cursor)}`;
  const stats = await ask('stats'); // alone: a token that is wrong is wrong once
  const [health, top, log] = await Promise.all([
    askMaybe('health'), askMaybe('top?n=10'), askMaybe(`log?${after}`), fetchSeldom(session)]);
  if (page.session !== session) return;
  if (log && log.next !== undefined && log.next !== null) page.cursor = log.next;
  page.health = health;
  take(stats);
  showBoard();
  show();
  showTop(top, openClearFor);
  showLog(log);
}

function failed(e) {
  if (e instanceof Refused && e.status === 401) {
    const known = page.samples.length > 0 ? 'The token is no longer accepted: it was changed.'
      : 'This token was not accepted.';
    showLogin(kept.get(tab, TOKEN) ? known : '');
    return false;
  }
  $('board').classList.add('old');
  if (e instanceof Refused) {
    showLink(`Refused: ${e.message}`, true);
  } else if (e instanceof Unreachable) {
    page.lost = page.lost || Date.now();
    showLink(`Disconnected since ${clock(page.lost)}, trying again`, true);
  } else {
    showLink('This page failed; the browser’s console says how', true);
    console.error(e);
  }
  return true;
}

async function round() {
  clearTimeout(page.timer);
  if (document.hidden || page.busy) return;
  page.busy = true;
  const { session } = page;
  let again = true;
  try {
    await fetchAll(session);
    if (page.session === session) {
      page.rounds++;
      page.lost = 0;
      $('board').classList.remove('old');
      showLink('Live', false);
    }
  } catch (e) {
    if (page.session === session) again = failed(e);
  }
  page.busy = false;
  /* Logged out meanwhile: what came is nobody's, and only a new token asks again. */
  if (page.session !== session) again = Boolean(kept.get(tab, TOKEN));
  if (again && !document.hidden) page.timer = setTimeout(round, ROUND_MS);
}

/* ---- what people do ---- */

let openClear;

function openClearFor(name) {
  openClear();
  $('clear').querySelector('input[value="pattern"]').checked = true;
  showClearKind();
  /* A name is no glob: what would be one is escaped. */
  $('clear-text').value = name.replace(/[\\*?[\]]/g, '\\$&');
}

function nextTheme() {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const now = document.documentElement.dataset.theme || (dark ? 'dark' : 'light');
  const next = now === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  kept.set(browser, 'larder-theme', next);
}

/* #token=…: a link from a terminal. Taken out of the address at once, so that it stays neither
 * there nor in the history. */
function takeFragment() {
  const match = /^#token=(.+)$/.exec(location.hash);
  if (!match) return;
  history.replaceState(null, '', location.pathname);
  try {
    kept.set(tab, TOKEN, decodeURIComponent(match[1]));
  } catch { /* not percent-encoded text: no token */ }
}

function start() {
  const theme = kept.get(browser, 'larder-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  startChart();
  startRoutes(() => { if (page.samples.length > 0) show(); });
  startLog();
  openClear = startDialog('clear', planClear, doClear);
  const openRefresh = startDialog('refresh', planRefresh, doRefresh);
  $('open-clear').addEventListener('click', () => { openClear(); showClearKind(); });
  $('open-refresh').addEventListener('click', openRefresh);
  $('clear').querySelectorAll('input[name="kind"]').forEach((i) => i.addEventListener('change', showClearKind));
  $('refresh-route').addEventListener('change', aboutRoute);
  $('theme').addEventListener('click', nextTheme);
  $('logout').addEventListener('click', () => showLogin(''));
  $('login').addEventListener('submit', (event) => {
    event.preventDefault();
    kept.set(tab, TOKEN, $('token').value.trim());
    $('login-error').hidden = true;
    page.rounds = 0;
    round();
  });
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) clearTimeout(page.timer);
    else if ($('login').hidden) round();
  });
  takeFragment();
  if (plane.token === 'needed' && !kept.get(tab, TOKEN)) {
    showLogin('');
    return;
  }
  showLink('Connecting…', false);
  round();
}

start();
