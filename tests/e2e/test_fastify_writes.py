"""Fastify, system 4: every row of the table of writes, for both organizations."""

import pytest

from lib.example import JSON, example, signed_in

ONE, TWO = signed_in("u1", "org-1"), signed_in("u2", "org-2")
# What is stored before each write: (name, target, whose)
STORED = [
    ("list 1", "/api/agents?limit=50", ONE),
    ("page 1", "/api/agents?page=2", ONE),
    ("agent 1", "/api/agents/a1", ONE),
    ("stats 1", "/api/agents/a1/stats", ONE),
    ("neighbour", "/api/agents/a2", ONE),
    ("neighbour stats", "/api/agents/a2/stats", ONE),
    ("servers 1", "/api/servers", ONE),
    ("health 1", "/api/servers/s1/health", ONE),
    ("list 2", "/api/agents?limit=50", TWO),
    ("agent 2", "/api/agents/a6", TWO),
    ("stats 2", "/api/agents/a6/stats", TWO),
    ("servers 2", "/api/servers", TWO),
    ("tools", "/api/tools/definitions", TWO),
]
LISTS = {"list 1", "page 1", "list 2"}
WRITES = [
    ("POST", "/api/agents", b'{"name": "new"}', 201, LISTS),
    ("PUT", "/api/agents/a1", b'{"name": "renamed"}', 200, LISTS | {"agent 1", "stats 1"}),
    ("PATCH", "/api/agents/a1", b'{"role": "owner"}', 200, LISTS | {"agent 1", "stats 1"}),
    ("DELETE", "/api/agents/a1", b"", 204, LISTS | {"agent 1", "stats 1"}),
    ("POST", "/api/tools/seed", b"", 200, {"tools"}),
]


def start(larder, backend):
    app = backend("fastify")
    proxy = larder(example("fastify"), env={"AGENTS_URL": app.url})
    for _, target, who in STORED:
        assert proxy.get(target, who).x_cache == "MISS"
    assert gone(proxy) == set()
    return proxy


def gone(proxy):
    """Names of what is not a hit any more. Asking fills it again."""
    return {name for name, target, who in STORED if proxy.get(target, who).x_cache != "HIT"}


@pytest.mark.parametrize("method,target,body,status,cleared", WRITES,
                         ids=[f"{w[0]} {w[1]}" for w in WRITES])
def test_write_clears_its_row_and_nothing_else(larder, backend, method, target, body, status,
                                               cleared):
    proxy = start(larder, backend)
    answer = proxy.request(method, target, ONE + (JSON if body else []), body)
    assert answer.status == status
    expected = set(cleared)
    if method == "DELETE":
        assert proxy.get("/api/agents/a1", ONE).status == 404
        assert proxy.get("/api/agents/a1/stats", ONE).status == 404
    assert gone(proxy) == expected


def test_the_answer_after_a_write_is_the_new_one(larder, backend):
    proxy = start(larder, backend)
    assert proxy.request("PUT", "/api/agents/a1", ONE + JSON, b'{"name": "renamed"}').status == 200
    assert proxy.get("/api/agents/a1", ONE).json()["agent"]["name"] == "renamed"
    listed = proxy.get("/api/agents?limit=50", ONE).json()["items"]
    assert "renamed" in [a["name"] for a in listed]
    assert proxy.post("/api/agents", b'{"name": "fresh"}', TWO + JSON).status == 201
    assert "fresh" in [a["name"] for a in proxy.get("/api/agents?limit=50", TWO).json()["items"]]


def test_refused_writes_clear_nothing(larder, backend):
    proxy = start(larder, backend)
    assert proxy.post("/api/agents", b'{"name": "x"}', JSON).status == 401
    assert proxy.post("/api/agents", b"{}", ONE + JSON).status == 400
    assert proxy.request("PUT", "/api/agents/a1", TWO + JSON, b'{"name": "x"}').status == 404
    assert proxy.request("DELETE", "/api/agents/a1", TWO).status == 404
    assert gone(proxy) == set()
