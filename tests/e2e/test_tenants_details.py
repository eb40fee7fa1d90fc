"""The trap of `agents:details:{id}`: a stored answer must not replace the backend's check."""

import pytest

from lib.cache import miss_then_hit, seen
from lib.example import JSON, example, signed_in
from lib.tokens import bearer, make_jwt, tamper, unsigned_jwt

ONE, TWO = signed_in("u1", "org-1"), signed_in("u2", "org-2")
PATHS = ["/api/agents/a1", "/api/agents/a1/stats"]


@pytest.fixture
def proxy(larder, backend):
    app = backend("fastify")
    return larder(example("fastify"), env={"AGENTS_URL": app.url})


@pytest.mark.parametrize("target", PATHS)
def test_another_organization_is_refused_whatever_is_stored(proxy, target):
    good = miss_then_hit(proxy, target, ONE)
    for _ in range(3):
        answer = proxy.get(target, TWO)
        assert answer.status == 404 and b"org-1" not in answer.body
    assert proxy.get(target, ONE).body == good.body


@pytest.mark.parametrize("target", PATHS)
def test_a_refusal_is_not_shown_to_the_owner(proxy, target):
    assert proxy.get(target, TWO).status == 404
    assert miss_then_hit(proxy, target, ONE).status == 200


def test_bad_tokens_reach_the_backend_and_nothing_else(proxy):
    good = make_jwt(sub="u1", organizationId="org-1")
    stored = miss_then_hit(proxy, "/api/agents", bearer(good)).body
    for bad in (unsigned_jwt({"organizationId": "org-1"}), tamper(good, organizationId="org-2"),
                make_jwt(organizationId="org-1", expires_in=-5),
                make_jwt({"organizationId": "org-1"}, "wrong-secret-of-more-than-32-bytes!!")):
        for _ in range(2):
            answer = proxy.get("/api/agents", bearer(bad))
            assert (answer.status, seen(answer)) == (401, ("BYPASS", "bad-identity"))
            assert answer.body != stored
    for fields in ([], [("X-Organization-Id", "org-1")], [("Authorization", "Basic b3JnLTE6")]):
        answer = proxy.get("/api/agents", fields)
        assert (answer.status, seen(answer)) == (401, ("BYPASS", "no-org"))
    # A token without an organization: the backend's 403, not somebody's entry.
    answer = proxy.get("/api/agents", bearer(make_jwt(sub="u1")))
    assert (answer.status, seen(answer)) == (403, ("BYPASS", "no-org"))


def test_an_organization_cannot_be_made_up(proxy):
    """Names that try to be part of another organization's key."""
    mine = signed_in("evil", "org-1:page=1")
    assert proxy.get("/api/agents?page=1", ONE).x_cache == "MISS"
    answer = proxy.get("/api/agents", mine)
    assert answer.x_cache == "MISS" and answer.json()["organizationId"] == "org-1:page=1"
    assert answer.json()["items"] == []


def test_a_write_of_one_organization_shows_in_its_lists_only(proxy):
    for who in (ONE, TWO):
        miss_then_hit(proxy, "/api/agents", who)
    assert proxy.post("/api/agents", b'{"name": "fresh"}', ONE + JSON).status == 201
    assert "fresh" in proxy.get("/api/agents", ONE).text
    assert "fresh" not in proxy.get("/api/agents", TWO).text
