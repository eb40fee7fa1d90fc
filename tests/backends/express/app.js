// The Express analysis server of requirements.md, system 1, without cache or scheduler of its own.
//
// /api/analysis fetches thousands of pools, keeps the best and asks a paid AI service: 8 to 12 s.
// Here the work is a timer. Each answer holds a serial number.
// Environment: PORT, HOST (127.0.0.1), ANALYSIS_DELAY (seconds, 8), DELAY (other /api answers, 0),
// FAIL_FIRST (so many first analyses answer 503).
'use strict';

const express = require('express');

const ANALYSIS_DELAY = Number(process.env.ANALYSIS_DELAY || 8) * 1000;
const DELAY = Number(process.env.DELAY || 0) * 1000;
const FAIL_FIRST = Number(process.env.FAIL_FIRST || 0);
const TOTAL_POOLS = 19895;
const KEPT_POOLS = 486;

let state;

function reset() {
  state = { serial: 0, total: 0, paths: {}, running: 0, peak: 0, analyses: 0, failed: 0, lastRun: null, lastMs: null };
}

const answer = (fields) => ({ serial: ++state.serial, ...fields });
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function pools(count) {
  const rows = [];
  for (let i = 0; i < count; i++) rows.push({ pool: `pool-${i}`, apy: 100 - i / 10, tvl: 1e6 + i });
  return rows;
}

// One paid computation; `peak` tells how many ever ran at once.
async function analyse() {
  const begin = Date.now();
  state.running++;
  state.peak = Math.max(state.peak, state.running);
  await sleep(ANALYSIS_DELAY);
  state.running--;
  if (state.failed < FAIL_FIRST) {
    state.failed++;
    return null;
  }
  state.analyses++;
  state.lastRun = new Date().toISOString();
  state.lastMs = Date.now() - begin;
  return answer({ fetched: TOTAL_POOLS, kept: KEPT_POOLS, analyses: state.analyses, top: pools(100) });
}

async function sendAnalysis(request, response) {
  const result = await analyse();
  if (result) response.json(result);
  else response.status(503).json(answer({ error: 'the analysis service is away' }));
}

const app = express();
app.set('query parser', 'simple');

app.use(async (request, response, next) => {
  if (request.path.startsWith('/_')) return next();
  state.total++;
  state.paths[request.path] = (state.paths[request.path] || 0) + 1;
  if (DELAY && request.path.startsWith('/api/')) await sleep(DELAY);
  return next();
});

app.get('/api/analysis', sendAnalysis);
app.post('/api/refresh', sendAnalysis);
app.get('/api/pools', (request, response) => {
  const limit = Math.min(Number(request.query.limit || 100), KEPT_POOLS);
  response.json(answer({ kept: KEPT_POOLS, pools: pools(limit) }));
});
app.get('/api/metadata', (request, response) => {
  response.json(answer({ lastRun: state.lastRun, lastMs: state.lastMs, analyses: state.analyses, peak: state.peak }));
});

app.all(['/echo', '/echo/*'], express.text({ type: () => true }), (request, response) => {
  const raw = request.rawHeaders;
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) headers.push([raw[i], raw[i + 1]]);
  response.json(answer({ method: request.method, url: request.url, headers, query: request.query, body: request.body }));
});

app.get('/_health', (request, response) => response.json({ ok: true }));
app.get('/_count', (request, response) => response.json({ total: state.total, paths: state.paths }));
app.post('/_reset', (request, response) => {
  reset();
  response.json({ ok: true });
});

reset();
const server = app.listen(Number(process.env.PORT || 3001), process.env.HOST || '127.0.0.1');
server.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
}
