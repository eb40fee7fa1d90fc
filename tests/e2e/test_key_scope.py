"""An entry belongs to a scope: one name under two scopes is two things."""

import pytest

from lib.cache import miss_then_hit, seen
from lib.tokens import SECRET, bearer, make_jwt

HEAD = f"""
upstream main %ORIGIN%
jwt      main alg=HS256 secret={SECRET}
identity org  jwt=main claim=organizationId
identity user jwt=main claim=sub
"""
SAME_NAME = HEAD + """
route GET /open/{id}   { scope public; key thing:{id}; ttl 60s }
route GET /closed/{id} { scope authenticated; key thing:{id}; ttl 60s }
route GET /also/{id}   { scope public; key thing:{id}; ttl 60s }
"""
ONE = HEAD + "route GET /a { scope %SCOPE%; key %KEY%; ttl 60s }\n"
ANN = bearer(make_jwt(sub="ann", organizationId="org-1"))


@pytest.mark.parametrize("first,second", [("/open/1", "/closed/1"), ("/closed/1", "/open/1")])
def test_one_name_of_two_scopes(larder, origin, first, second):
    proxy = larder(SAME_NAME, origin=origin.url)
    one = proxy.get(first, ANN)
    two = proxy.get(second, ANN)
    assert two.x_cache == "MISS" and two.body != one.body
    assert seen(proxy.get("/closed/1")) == ("BYPASS", "no-identity")
    assert b"/closed/1" not in proxy.get("/open/1").body


def test_one_name_of_one_scope_is_shared(larder, origin):
    proxy = larder(SAME_NAME, origin=origin.url)
    assert "can produce one name" in proxy.stderr()
    one = proxy.get("/open/1")
    assert proxy.get("/also/1").body == one.body


@pytest.mark.parametrize("before,after", [
    (("public", "a"), ("authenticated", "a")),
    (("authenticated", "a"), ("public", "a")),
    (("public", "a:org-1"), ("org", "a:{org}")),
    (("user", "a:{user}"), ("org", "a:{org}")),
    (("org", "a:{org}"), ("public", "a:org-1")),
])
def test_a_reload_that_changes_the_scope(larder, origin, before, after):
    """What was stored for some is not shown to others because the file says so now."""
    who = bearer(make_jwt(sub="org-1", organizationId="org-1"))
    proxy = larder(ONE, origin=origin.url, scope=before[0], key=before[1])
    old = miss_then_hit(proxy, "/a", who)
    proxy.reload(ONE, wait="reload done", scope=after[0], key=after[1])
    new = proxy.get("/a", who)
    assert new.x_cache == "MISS" and new.body != old.body
    if after[0] != "public":
        assert seen(proxy.get("/a"))[0] == "BYPASS"


def test_a_reload_that_changes_nothing_keeps_entries(larder, origin):
    proxy = larder(ONE, origin=origin.url, scope="org", key="a:{org}")
    old = miss_then_hit(proxy, "/a", ANN)
    proxy.reload(wait="reload done")
    assert proxy.get("/a", ANN).body == old.body


def test_the_order_of_identities_in_the_file_does_not_matter(larder, origin):
    proxy = larder(ONE, origin=origin.url, scope="org", key="a:{org}")
    old = miss_then_hit(proxy, "/a", ANN)
    proxy.reload(ONE.replace("identity org ", "identity other jwt=main claim=x\nidentity org "),
                 wait="reload done")
    assert proxy.get("/a", ANN).body == old.body


@pytest.mark.parametrize("claim", ["claim=tenant", "claim=organizationId.id"])
def test_a_reload_that_changes_what_an_identity_is(larder, origin, claim):
    proxy = larder(ONE, origin=origin.url, scope="org", key="a:{org}")
    old = miss_then_hit(proxy, "/a", bearer(make_jwt(organizationId="same")))
    proxy.reload(ONE.replace("claim=organizationId", claim), wait="reload done")
    got = proxy.get("/a", bearer(make_jwt(tenant="same", organizationId={"id": "same"})))
    assert got.x_cache == "MISS" and got.body != old.body


def test_a_reload_that_puts_another_identity_first(larder, origin):
    """One's entries must not become the other's."""
    proxy = larder(ONE, origin=origin.url, scope="org", key="a:{org}")
    miss_then_hit(proxy, "/a", bearer(make_jwt(sub="x", organizationId="same")))
    swapped = ONE.replace("identity org  jwt=main claim=organizationId\n", "").replace(
        "claim=sub\n", "claim=sub\nidentity org  jwt=main claim=organizationId\n")
    proxy.reload(swapped, wait="reload done", scope="user", key="a:{user}")
    got = proxy.get("/a", bearer(make_jwt(sub="same", organizationId="y")))
    assert got.x_cache == "MISS"
