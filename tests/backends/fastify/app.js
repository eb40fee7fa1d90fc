// The multi-tenant Fastify API of requirements.md, system 4, without any cache of its own.
//
// Agents and servers belong to the organization in the verified token's claim organizationId;
// tools are the same for everybody who is signed in. Each answer holds a serial number.
// Environment: PORT, HOST (127.0.0.1), DELAY (seconds each /api answer takes, 0), JWT_SECRET.
'use strict';

const fastify = require('fastify')({ logger: false, forceCloseConnections: true });

const DELAY = Number(process.env.DELAY || 0) * 1000;
const SECRET = process.env.JWT_SECRET || 'a-test-secret-of-more-than-32-bytes!';

let state;

function reset() {
  state = { serial: 0, total: 0, paths: {}, nextId: 1, agents: new Map(), tools: [] };
  for (const org of ['org-1', 'org-2']) {
    for (let i = 0; i < 5; i++) addAgent(org, { name: `${org} agent ${i}`, role: i % 2 ? 'admin' : 'user' });
  }
  for (let i = 0; i < 8; i++) state.tools.push({ id: i, name: `tool-${i}`, category: i % 2 ? 'web' : 'data' });
}

function addAgent(org, fields) {
  const id = `a${state.nextId++}`;
  const agent = { serverId: 's1', status: 'online', role: 'user', ...fields, id, organizationId: org };
  state.agents.set(id, agent);
  return agent;
}

const answer = (fields) => ({ serial: ++state.serial, ...fields });

// The page of rows that page, limit, sortBy and sortOrder ask for.
function listed(rows, query) {
  const page = Number(query.page || 1);
  const limit = Number(query.limit || 20);
  if (query.sortBy) {
    const sign = query.sortOrder === 'desc' ? -1 : 1;
    rows = [...rows].sort((a, b) => sign * String(a[query.sortBy]).localeCompare(String(b[query.sortBy])));
  }
  return { page, limit, total: rows.length, items: rows.slice((page - 1) * limit, page * limit) };
}

// The agent of this id, if it belongs to the caller's organization.
function ownAgent(request, reply) {
  const agent = state.agents.get(request.params.id);
  if (agent && agent.organizationId === request.user.organizationId) return agent;
  reply.code(404).send(answer({ error: 'no such agent' }));
  return null;
}

fastify.register(require('@fastify/jwt'), { secret: SECRET, verify: { algorithms: ['HS256'] } });

fastify.addHook('onRequest', async (request) => {
  const path = request.url.split('?', 1)[0];
  if (path.startsWith('/_')) return;
  state.total++;
  state.paths[path] = (state.paths[path] || 0) + 1;
  if (DELAY && path.startsWith('/api/')) await new Promise((done) => setTimeout(done, DELAY));
});

// A text body is taken as it is, so that /echo can give it back.
fastify.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => done(null, body));

fastify.register(async (api) => {
  api.addHook('onRequest', async (request, reply) => {
    try {
      await request.jwtVerify();
    } catch (error) {
      return reply.code(401).send(answer({ error: 'not signed in' }));
    }
    if (!request.user.organizationId) {
      return reply.code(403).send(answer({ error: 'no organization' }));
    }
  });

  api.get('/agents', async (request) => {
    const { serverId, status, role, search } = request.query;
    const org = request.user.organizationId;
    const rows = [...state.agents.values()].filter((a) => a.organizationId === org
      && (!serverId || a.serverId === serverId) && (!status || a.status === status)
      && (!role || a.role === role) && (!search || a.name.includes(search)));
    return answer({ organizationId: org, ...listed(rows, request.query) });
  });

  api.get('/agents/:id', async (request, reply) => {
    const agent = ownAgent(request, reply);
    return agent ? answer({ agent }) : reply;
  });

  api.get('/agents/:id/stats', async (request, reply) => {
    const agent = ownAgent(request, reply);
    return agent ? answer({ id: agent.id, name: agent.name, calls: 42 }) : reply;
  });

  api.post('/agents', async (request, reply) => {
    if (!request.body || !request.body.name) {
      return reply.code(400).send(answer({ error: 'name is required' }));
    }
    return reply.code(201).send(answer({ agent: addAgent(request.user.organizationId, request.body) }));
  });

  api.route({
    method: ['PUT', 'PATCH'],
    url: '/agents/:id',
    handler: async (request, reply) => {
      const agent = ownAgent(request, reply);
      if (!agent) return reply;
      Object.assign(agent, request.body, { id: agent.id, organizationId: agent.organizationId });
      return answer({ agent });
    },
  });

  api.delete('/agents/:id', async (request, reply) => {
    const agent = ownAgent(request, reply);
    if (!agent) return reply;
    state.agents.delete(agent.id);
    return reply.code(204).send();
  });

  api.get('/tools/definitions', async (request) => {
    const { category, search } = request.query;
    const rows = state.tools.filter((t) => (!category || t.category === category)
      && (!search || t.name.includes(search)));
    return answer(listed(rows, request.query));
  });

  api.post('/tools/seed', async () => {
    state.tools.push({ id: state.tools.length, name: `tool-${state.tools.length}`, category: 'web' });
    return answer({ tools: state.tools.length });
  });

  api.get('/servers', async (request) => {
    const org = request.user.organizationId;
    return answer({ organizationId: org, items: [{ id: 's1', name: `${org} server` }] });
  });

  api.get('/servers/:id/health', async (request) => answer({
    id: request.params.id, organizationId: request.user.organizationId, healthy: true,
  }));
}, { prefix: '/api' });

async function echo(request) {
  const raw = request.raw.rawHeaders;
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) headers.push([raw[i], raw[i + 1]]);
  return answer({ method: request.method, url: request.url, headers, query: request.query, body: request.body });
}

fastify.route({ method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'], url: '/echo/*', handler: echo });
fastify.get('/_health', async () => ({ ok: true }));
fastify.get('/_count', async () => ({ total: state.total, paths: state.paths }));
fastify.post('/_reset', async () => {
  reset();
  return { ok: true };
});

reset();
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => fastify.close().then(() => process.exit(0)));
}
fastify.listen({ port: Number(process.env.PORT || 3000), host: process.env.HOST || '127.0.0.1' })
  .catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
