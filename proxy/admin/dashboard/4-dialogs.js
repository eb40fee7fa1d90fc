/*
 * Clear and Refresh: a form, a question that says what will happen, and the result. Nothing is
 * sent before the question was answered.
 */

/* Steps of one dialog. `prepare` gives { ask: [nodes], danger } or null (stay), `act` resolves to
 * the result's nodes. */
function startDialog(name, prepare, act) {
  const dialog = $(name);
  const go = el('button', { type: 'submit', id: `${name}-go` });
  const cancel = el('button', { type: 'button', class: 'button', id: `${name}-cancel` });
  $(`${name}-form`).append(
    el('div', { class: 'step', 'data-step': 'confirm' }, el('p', { id: `${name}-ask`, class: 'ask' })),
    el('div', { class: 'step', 'data-step': 'done' },
      el('p', { id: `${name}-result`, class: 'result', role: 'status' })),
    el('div', { class: 'row' }, cancel, go));
  let step = 'form';
  const show = (next) => {
    step = next;
    dialog.querySelectorAll('.step').forEach((s) => { s.hidden = s.dataset.step !== next; });
    go.disabled = false;
    go.hidden = next === 'done';
    go.className = 'button primary';
    say(go, 'Continue');
    say(cancel, { form: 'Cancel', confirm: 'Back', done: 'Close' }[next]);
  };
  const finish = (nodes, bad) => {
    show('done');
    $(`${name}-result`).className = `result ${bad ? 'bad' : ''}`;
    $(`${name}-result`).replaceChildren(...nodes);
    cancel.focus();
  };
  $(`${name}-form`).addEventListener('submit', async (event) => {
    event.preventDefault();
    if (step === 'form') {
      const plan = prepare();
      if (!plan) return;
      show('confirm');
      $(`${name}-ask`).replaceChildren(...plan.ask);
      say(go, plan.verb);
      if (plan.danger) go.className = 'button danger';
      cancel.focus();
      return;
    }
    if (step !== 'confirm' || go.disabled) return;
    go.disabled = true;
    say(go, 'Working…');
    try {
      finish(await act(), false);
    } catch (e) {
      finish([e instanceof Refused ? `Refused: ${e.message}` : 'Larder did not answer.'], true);
    }
  });
  cancel.addEventListener('click', () => {
    if (step === 'confirm') show('form');
    else dialog.close();
  });
  show('form');
  return () => {
    show('form');
    dialog.showModal();
  };
}

/* ---- clear ---- */

const KINDS = {
  pattern: { label: 'Names that match', help: 'A glob over names as Redis has them: * ? [..]', placeholder: 'products:list:*' },
  type: { label: 'Type', help: 'A type of proxy.conf: all entries of its routes.', placeholder: 'dashboard' },
  tag: { label: 'Tag', help: 'A tag of the route, or one that the backend sent in Surrogate-Key or Cache-Tag.', placeholder: 'product-42' },
  all: { label: '', help: '', placeholder: '' },
};

function clearKind() {
  return $('clear').querySelector('input[name="kind"]:checked').value;
}

function showClearKind() {
  const kind = clearKind();
  const text = $('clear-text');
  $('clear-what').hidden = kind === 'all';
  say($('clear-label'), KINDS[kind].label);
  say($('clear-help'), KINDS[kind].help);
  text.placeholder = KINDS[kind].placeholder;
  text.required = kind !== 'all';
  if (kind === 'type') text.setAttribute('list', 'clear-types');
  else text.removeAttribute('list');
}

function planClear() {
  const kind = clearKind();
  const what = $('clear-text').value.trim();
  const soft = $('clear-soft').checked;
  const effect = soft ? 'become stale: they are served once more while a fresh answer is fetched.'
    : 'go. The next request for each is a miss.';
  if (kind === 'all') {
    return { ask: ['All entries, on every node, ', effect], verb: 'Clear everything', danger: true };
  }
  if (!what) {
    $('clear-text').focus();
    return null;
  }
  const named = { pattern: 'whose name matches ', type: 'of type ', tag: 'with tag ' }[kind];
  return { ask: [`All entries ${named}`, el('code', {}, what), ', on every node, ', effect], verb: 'Clear', danger: !soft };
}

function clearRequest() {
  const kind = clearKind();
  const what = $('clear-text').value.trim();
  const query = [$('clear-soft').checked ? 'soft=on' : '', $('clear-wait').checked ? 'wait=all' : '']
    .filter(Boolean).join('&');
  const tail = query ? `?${query}` : '';
  if (kind === 'all') return [`clear-all${tail}`, undefined];
  if (kind === 'type') return [`invalidate/${encodeURIComponent(what)}${tail}`, undefined];
  return [`invalidate-pattern${tail}`, { [kind]: what }];
}

async function doClear() {
  const [path, body] = clearRequest();
  const r = await ask(path, 'POST', body);
  const applied = r.applied || {};
  const lines = [el('strong', {}, r.pending ? 'Applied here; Redis is away, so other nodes get it when it is back.' : 'Cleared.'),
    ` Journal position ${r.position ?? '–'}`];
  if (typeof r.count === 'number') lines.push(`, ${grouped.format(r.count)} entries`);
  if (applied.nodes > 1) {
    lines.push(applied.waiting > 0 ? `, ${applied.waiting} of ${applied.nodes} nodes have not applied it yet`
      : `, applied on ${applied.nodes} nodes`);
  }
  return [...lines, '.'];
}

/* ---- refresh ---- */

let schedule = [];

function showSchedule(metadata) {
  const routes = (metadata && metadata.routes) || [];
  const names = routes.map((r) => r.route).join('\n');
  $('open-refresh').hidden = routes.length === 0;
  if (names !== schedule.map((r) => r.route).join('\n')) {
    $('refresh-route').replaceChildren(...routes.map((r) => el('option', { value: r.route }, String(r.route))));
  }
  schedule = routes;
  aboutRoute();
}

function aboutRoute() {
  const r = schedule.find((x) => x.route === $('refresh-route').value);
  if (!r) return;
  const parts = [`every ${span(r.every_seconds)}`];
  if (r.last_run) parts.push(`last at ${clock(r.last_run)} (${r.last_result}, ${time(number(r.duration_ms))})`);
  if (r.next_run) parts.push(`next at ${clock(r.next_run)}`);
  if (r.failures > 0) parts.push(`${short(r.failures)} of ${short(r.runs)} runs failed`);
  say($('refresh-about'), `${parts.join(', ')}.`);
}

function planRefresh() {
  const route = $('refresh-route').value;
  return route ? { ask: ['Fetch ', el('code', {}, route), ' from the upstream now?'], verb: 'Refresh now' } : null;
}

async function doRefresh() {
  const route = $('refresh-route').value;
  await ask('refresh', 'POST', { route });
  return [el('strong', {}, 'Started.'), ' ', el('code', {}, route), ' is being fetched; the stored answer stays if that fails.'];
}
