"""`version`: a deployment makes the entries of the one before it unusable, by itself."""

from lib.cache import miss_then_hit

CONF = """
version %VERSION%
upstream main %ORIGIN%
route GET /a { scope public; key a; ttl 60s; stale 60s; stale_if_error 60s }
"""


def test_a_new_version_uses_no_old_entries(larder, origin):
    proxy = larder(CONF, origin=origin.url, version="v1")
    old = miss_then_hit(proxy, "/a").body
    proxy.reload(CONF, wait="reload done")
    assert proxy.get("/a").body == old
    proxy.reload(CONF, wait="reload done", version="v2")
    new = miss_then_hit(proxy, "/a").body
    assert new != old
    # Back to the old version is a deployment too.
    proxy.reload(CONF, wait="reload done", version="v1")
    assert proxy.get("/a").body not in (old, new)
