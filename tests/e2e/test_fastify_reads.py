"""Fastify, system 4: every row of the table of reads."""

import pytest

from lib.cache import cache_status, miss_then_hit, seen
from lib.example import example, signed_in

# request, ttl, whether the answer names the organization
PER_ORGANIZATION = [
    ("/api/agents?page=1&limit=3&sortBy=name&sortOrder=desc&status=online", 300),
    ("/api/agents/%s", 300),
    ("/api/agents/%s/stats", 600),
    ("/api/servers", 300),
    ("/api/servers/s1/health", 60),
]
OWN_AGENT = {"org-1": "a1", "org-2": "a6"}  # the application's first agent of each


def start(larder, backend):
    app = backend("fastify")
    return app, larder(example("fastify"), env={"AGENTS_URL": app.url})


@pytest.mark.parametrize("target,ttl", PER_ORGANIZATION, ids=[r[0] for r in PER_ORGANIZATION])
def test_kept_per_organization_for_its_time(larder, backend, target, ttl):
    app, proxy = start(larder, backend)
    bodies = []
    for org in ("org-1", "org-2"):
        mine = target % OWN_AGENT[org] if "%s" in target else target
        hit = miss_then_hit(proxy, mine, signed_in("u1", org))
        assert ttl - 5 <= cache_status(hit)["ttl"] <= ttl
        assert proxy.get(mine, signed_in("u2", org)).body == hit.body
        other = b"org-2" if org == "org-1" else b"org-1"
        assert other not in hit.body
        bodies.append(hit.body)
    assert bodies[0] != bodies[1]
    assert app.count() == 2


def test_tools_are_shared_by_everybody_who_is_signed_in(larder, backend):
    app, proxy = start(larder, backend)
    target = "/api/tools/definitions?page=1&limit=4&sortBy=name&category=web&search=tool"
    hit = miss_then_hit(proxy, target, signed_in("u1", "org-1"))
    assert 3595 <= cache_status(hit)["ttl"] <= 3600
    other = proxy.get(target, signed_in("u9", "org-2"))
    assert other.x_cache == "HIT" and other.body == hit.body
    assert app.count() == 1
    answer = proxy.get(target)
    assert answer.status == 401 and seen(answer)[0] == "BYPASS"
    assert b"tool-" not in answer.body


def test_every_listed_parameter_is_part_of_the_key(larder, backend):
    app, proxy = start(larder, backend)
    ann = signed_in()
    queries = ["", "page=2", "limit=2", "sortBy=name", "sortOrder=desc", "serverId=s1",
               "status=online", "role=admin", "search=agent", "page=1&limit=2"]
    for query in queries:
        miss_then_hit(proxy, f"/api/agents?{query}", ann)
    assert app.count("/api/agents") == len(queries)
    # Another order is the same key, and the application is not asked.
    assert proxy.get("/api/agents?limit=2&page=1", ann).x_cache == "HIT"
    # What is not listed goes to the application, unchanged, and is not stored.
    for _ in range(2):
        assert seen(proxy.get("/api/agents?page=2&debug=1", ann)) == ("BYPASS", "query")
    assert app.count("/api/agents") == len(queries) + 2
