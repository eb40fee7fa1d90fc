"""An identity from a header is believed from trusted peers only and taken from all others."""

import pytest

from lib.cache import miss_then_hit, seen

CONF = """
upstream main %ORIGIN%
identity org header=X-Org-Id trusted=127.0.0.2/32,127.0.1.0/24
route GET  /mine { key mine:{org}; ttl 60s }
route GET  /any  { scope authenticated; key any; ttl 60s }
route GET  /off  { ttl off }
route POST /mine { invalidate mine:{org} }
"""
GATEWAY = "127.0.0.2"
ORG = [("X-Org-Id", "org-1")]


def test_gateway_is_believed(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    one = miss_then_hit(proxy, "/mine", ORG, source=GATEWAY)
    two = miss_then_hit(proxy, "/mine", [("X-Org-Id", "org-2")], source="127.0.1.77")
    assert one.body != two.body
    assert miss_then_hit(proxy, "/any", ORG, source=GATEWAY).body == proxy.get(
        "/any", [("X-Org-Id", "org-2")], source=GATEWAY).body
    assert [r.header("x-org-id") for r in origin.seen("/mine")] == ["org-1", "org-2"]


@pytest.mark.parametrize("spoof", [
    [("X-Org-Id", "org-1")],
    [("x-org-id", "org-1")],
    [("X-ORG-ID", "org-1"), ("X-Org-Id", "org-1")],
    [("X_Org_Id", "org-1")],
    [("X-Org_Id", "org-1")],
    [("X-Org-Id", "org-1"), ("X-Forwarded-For", GATEWAY)],
    [("X-Org-Id", "org-1"), ("Forwarded", f"for={GATEWAY}")],
    [("X-Org-Id", "org-1"), ("X-Real-IP", GATEWAY)],
])
def test_everybody_else_is_not(larder, origin, spoof):
    proxy = larder(CONF, origin=origin.url)
    for target, reason in (("/mine", "no-org"), ("/any", "no-identity")):
        good = miss_then_hit(proxy, target, ORG, source=GATEWAY)
        for _ in range(2):
            answer = proxy.get(target, spoof)
            assert seen(answer) == ("BYPASS", reason) and answer.body != good.body
    # The backend is not told either, wherever the request goes.
    proxy.get("/off", spoof)
    proxy.post("/elsewhere", b"x", spoof)
    for request in origin.requests:
        told = [n for n, _ in request.headers if n.lower().replace("_", "-") == "x-org-id"]
        assert len(told) == (request.header("x-real-ip") == GATEWAY), request


@pytest.mark.parametrize("fields,reason", [
    ([], "no-org"),
    ([("X-Org-Id", "")], "no-org"),
    ([("X-Org-Id", "org-1"), ("X-Org-Id", "org-2")], "bad-identity"),
    ([("X-Org-Id", "org-1"), ("X-Org-Id", "org-1")], "bad-identity"),
    ([("X-Org-Id", "o" * 5000)], "bad-identity"),
])
def test_gateway_must_say_one_thing(larder, origin, fields, reason):
    proxy = larder(CONF, origin=origin.url)
    good = miss_then_hit(proxy, "/mine", ORG, source=GATEWAY)
    answer = proxy.get("/mine", fields, source=GATEWAY)
    assert seen(answer) == ("BYPASS", reason) and answer.body != good.body


def test_spoofed_write_does_not_choose_whom_it_touches(larder, origin):
    """It may have been carried out, so it invalidates, but not by the name that it claims."""
    proxy = larder(CONF, origin=origin.url)
    for org in ("org-1", "org-2"):
        miss_then_hit(proxy, "/mine", [("X-Org-Id", org)], source=GATEWAY)
    assert proxy.post("/mine", b"x", [("X-Org-Id", "org-9")]).status == 200
    assert proxy.get("/mine", ORG, source=GATEWAY).x_cache == "MISS"
