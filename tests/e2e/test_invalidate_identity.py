"""An identity in `invalidate` is the writer's; where nobody proved one, everybody's entries go."""

import pytest

from lib.cache import miss_then_hit
from lib.example import signed_in
from lib.origin import Close, answer
from lib.tokens import SECRET, bearer, make_jwt, tamper

CONF = f"""
upstream main %ORIGIN%
jwt      main alg=HS256 secret={SECRET}
identity org  jwt=main claim=organizationId
identity user jwt=main claim=sub
route GET  /list      {{ key list:{{org}}; ttl 60s }}
route GET  /page/{{n}}  {{ key page:{{org}}:{{user}}:{{n}}; ttl 60s }}
route POST /list      {{ invalidate list:{{org}} }}
route POST /page/{{n}} {{ invalidate page:{{org}}:{{user}}:{{n}} }}
route POST /pages     {{ invalidate page:{{org}}:* }}
route POST /both      {{ invalidate list:{{org}} page:{{org}}:{{user}}:* }}
"""
WHO = {f"{user} of {org}": signed_in(user, org)
       for org in ("org-1", "org-2") for user in ("ann", "bob")}
ANN = WHO["ann of org-1"]
NOBODY = {"no token": [], "bad token": bearer(tamper(make_jwt(organizationId="org-1"), sub="x")),
          "expired": bearer(make_jwt(organizationId="org-1", sub="ann", expires_in=-5)),
          "no claims": bearer(make_jwt())}


@pytest.fixture
def proxy(larder, origin):
    # By their paths alone, writes would clear everybody's: that is not what is asked here.
    for target in ("/both", "/pages"):
        origin.route(target, answer(200, b"ok"))
    p = larder(CONF, origin=origin.url)
    for fields in WHO.values():
        p.get("/list", fields)
        miss_then_hit(p, "/page/1", fields)
        miss_then_hit(p, "/page/2", fields)
    assert gone(p) == set()
    return p


def gone(proxy):
    """(name, target) of what is not a hit any more. Asking fills it again."""
    return {(name, target) for target in ("/list", "/page/1", "/page/2")
            for name, fields in WHO.items() if proxy.get(target, fields).x_cache != "HIT"}


def lists(org):
    # The first who asks again fills it for his colleague.
    return {(f"ann of {org}", "/list")}


def test_only_the_writers_organization(proxy):
    assert proxy.request("POST", "/both", ANN, b"x").status == 200
    assert gone(proxy) == lists("org-1") | {("ann of org-1", "/page/1"),
                                            ("ann of org-1", "/page/2")}


def test_all_users_of_the_writers_organization(proxy):
    assert proxy.request("POST", "/pages", ANN, b"x").status == 200
    assert gone(proxy) == {(f"{user} of org-1", f"/page/{n}")
                           for user in ("ann", "bob") for n in (1, 2)}


@pytest.mark.parametrize("who", NOBODY)
def test_a_write_by_nobody_that_succeeded_clears_everybodys(proxy, who):
    """The backend carried it out, whoever it was: any organization's entries may be old."""
    assert proxy.request("POST", "/both", NOBODY[who], b"x").status == 200
    assert gone(proxy) == lists("org-1") | lists("org-2") | {
        (name, f"/page/{n}") for name in WHO for n in (1, 2)}
    assert "widened" in proxy.stderr()


@pytest.mark.parametrize("who", NOBODY)
@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_redirect_for_nobody_clears_nothing(proxy, origin, who, status):
    """It leads to the login page."""
    origin.route("/both", answer(status, b"", {"Location": "/login"}))
    assert proxy.request("POST", "/both", NOBODY[who], b"x").status == status
    assert gone(proxy) == set()


def test_a_redirect_for_somebody_is_a_success(proxy, origin):
    origin.route("/both", answer(303, b"", {"Location": "/done"}))
    assert proxy.request("POST", "/both", ANN, b"x").status == 303
    assert lists("org-1") <= gone(proxy)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_clears_nothing(proxy, origin, status):
    origin.route("/both", answer(status, b"no"))
    assert proxy.request("POST", "/both", [], b"x").status == status
    assert gone(proxy) == set()


def test_unknown_outcome_for_nobody(proxy, origin):
    origin.route("/both", Close())
    assert proxy.request("POST", "/both", [], b"x").status == 502
    assert lists("org-1") | lists("org-2") <= gone(proxy)


def test_its_own_path_is_everybodys(proxy):
    """Another tenant's page under the same path may show what was written."""
    assert proxy.request("POST", "/page/1", ANN, b"x").status == 200
    assert gone(proxy) == {(name, "/page/1") for name in WHO}


def test_names_do_not_match_their_beginnings(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    orgs = ["o", "o1", "o10", "o*", "o:1", "o%", "[o]", "o?"]
    for org in orgs:
        miss_then_hit(proxy, "/page/1", signed_in("u", org))
    for org in orgs:
        assert proxy.request("POST", "/pages", signed_in("u", org), b"x").status == 200
        states = {o: proxy.get("/page/1", signed_in("u", o)).x_cache for o in orgs}
        assert {o for o, s in states.items() if s != "HIT"} == {org}
