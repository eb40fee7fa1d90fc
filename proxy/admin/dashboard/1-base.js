'use strict';
/*
 * Elements, numbers as people read them, and requests to the admin plane. Whatever the server
 * says becomes text nodes: nothing here or below ever parses HTML.
 */

const $ = (id) => document.getElementById(id);

/* An element with attributes (class, title, …) and children: elements or texts. */
function make(ns, tag, attributes, children) {
  const node = ns ? document.createElementNS(ns, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}
const el = (tag, attributes, ...children) => make(null, tag, attributes, children);
const svg = (tag, attributes, ...children) =>
  make('http://www.w3.org/2000/svg', tag, attributes, children);

function say(node, text) {
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}

/* A bar inside `meter`; its width is set on the style object, which the policy allows. */
function bar(part) {
  const i = el('i');
  i.style.width = `${Math.max(0, Math.min(100, part * 100)).toFixed(2)}%`;
  return i;
}

/* Children anew. Nobody loses the focus or a selection by it: what
 * somebody is marking stays as it is, and the control that has the focus is found again. */
function replace(node, children) {
  const marked = getSelection();
  if (marked.type === 'Range' && node.contains(marked.anchorNode)) return;
  const active = node.contains(document.activeElement) ? document.activeElement : null;
  const label = active && active.getAttribute('aria-label');
  node.replaceChildren(...children);
  if (!label) return;
  const again = [...node.querySelectorAll('button')].find((b) => b.getAttribute('aria-label') === label);
  if (again) again.focus();
}

/* ---- numbers ---- */

const grouped = new Intl.NumberFormat('en');
const number = (v) => (typeof v === 'number' && Number.isFinite(v) ? v : 0);

function short(v) {
  v = number(v);
  if (v < 10000) return grouped.format(Math.round(v));
  for (const [unit, size] of [['G', 1e9], ['M', 1e6], ['k', 1e3]]) {
    if (v >= size) return `${(v / size).toFixed(v / size < 100 ? 1 : 0)}${unit}`;
  }
  return String(v);
}

const plural = (n, word) => `${short(n)} ${word}${n === 1 ? '' : 's'}`;

function perSecond(v) {
  v = number(v);
  if (v === 0) return '0';
  if (v < 0.1) return '<0.1';
  return v < 10 ? v.toFixed(1) : short(v);
}

const percent = (v) => number(v).toFixed(1);

/* Milliseconds as [number, unit]. */
function timeParts(ms) {
  if (typeof ms !== 'number' || !Number.isFinite(ms)) return ['–', ''];
  if (ms < 1) return [String(Math.round(ms * 1000)), 'µs'];
  if (ms < 10) return [ms.toFixed(1), 'ms'];
  if (ms < 1000) return [String(Math.round(ms)), 'ms'];
  return [(ms / 1000).toFixed(ms < 10000 ? 2 : 1), 's'];
}
const time = (ms) => timeParts(ms).join('\u202f').trim();

function bytes(v) {
  v = number(v);
  let unit = 'B';
  for (const next of ['kB', 'MB', 'GB', 'TB']) {
    if (v < 1024) break;
    v /= 1024;
    unit = next;
  }
  return `${unit === 'B' || v >= 100 ? Math.round(v) : v.toFixed(1)}\u202f${unit}`;
}

/* Seconds as the two largest units: "3 d 4 h". */
function span(seconds) {
  seconds = Math.max(0, Math.round(number(seconds)));
  const units = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  if (at < 0) return '0\u202fs';
  const [unit, size] = units[at];
  const text = `${Math.floor(seconds / size)}\u202f${unit}`;
  const rest = units[at + 1] ? Math.floor((seconds % size) / units[at + 1][1]) : 0;
  return rest > 0 && at < 2 ? `${text} ${rest}\u202f${units[at + 1][0]}` : text;
}

function clock(value) {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? '' : date.toLocaleTimeString('en-GB');
}

/* ---- what the tab keeps. Storage may be switched off: then for as long as the page lives. ---- */

const kept = {
  values: {},
  get(store, name) {
    try { return store().getItem(name); } catch { return this.values[name] ?? null; }
  },
  set(store, name, value) {
    this.values[name] = value;
    try {
      if (value === null) store().removeItem(name);
      else store().setItem(name, value);
    } catch { /* only in memory then */ }
  },
};
const tab = () => sessionStorage;
const browser = () => localStorage;
const TOKEN = 'larder-token';

/* ---- requests ---- */

const root = location.pathname.endsWith('/') ? location.pathname : `${location.pathname}/`;

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

class Unreachable extends Error {}

async function send(path, method, body) {
  const headers = { Accept: 'application/json' };
  const token = kept.get(tab, TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  try {
    const answer = await fetch(root + path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store', credentials: 'omit', redirect: 'error',
      signal: AbortSignal.timeout(method === 'GET' ? 8000 : 60000),
    });
    return [answer, await answer.json().catch(() => ({}))];
  } catch (e) {
    throw new Unreachable(String(e.message));
  }
}

/* The JSON of an endpoint. Throws Refused for an answer that is an error (but not for the health
 * of what is down, which says so with 503), Unreachable when there is no answer. */
async function ask(path, method = 'GET', body = undefined) {
  const [answer, json] = await send(path, method, body);
  if (!answer.ok && !(path === 'health' && typeof json.status === 'string')) {
    throw new Refused(answer.status, json.detail || json.title || `status ${answer.status}`);
  }
  return json;
}

/* What the plane has of endpoints is in the page; what it lacks is not asked for: null. */
const plane = document.querySelector('meta[name="larder-plane"]').dataset;
const endpoints = plane.endpoints.split(' ');
const has = (path) => endpoints.includes(`/${path.split('?')[0]}`);

/* What may be refused without harm to the rest: null then. */
async function askMaybe(path) {
  if (!has(path)) return null;
  try {
    return await ask(path);
  } catch (e) {
    if (e instanceof Refused && e.status !== 401) return null;
    throw e;
  }
}
