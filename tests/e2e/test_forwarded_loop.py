"""A proxy that is its own origin says so once, instead of asking itself for ever."""

import pytest

from lib.ports import free_port

SELF = """
upstream me http://127.0.0.1:%PORT%
defaults { upstream me; timeout first_byte=3s }
route GET /hit { scope public; ttl 1m }
"""


@pytest.mark.parametrize("path", ["/pass", "/hit"])
def test_itself(larder, path):
    proxy = larder(SELF)
    r = proxy.get(path)
    assert r.status == 508
    assert r.header("cache-control") == "no-store"
    assert len(proxy.access_log(2)) == 2
    assert proxy.get(path).status == 508


def test_by_way_of_another(larder):
    first, second = free_port(), free_port()
    a = larder(SELF.replace("%PORT%", str(second)), port=first)
    b = larder(SELF.replace("%PORT%", str(first)), port=second)
    assert a.get("/pass").status == 508
    assert len(a.access_log(2)) == 2 and len(b.access_log(1)) == 1


def test_others_of_its_kind_are_no_loop(larder, origin):
    inner = larder("upstream main %ORIGIN%", origin=origin.url)
    outer = larder("upstream main %ORIGIN%", origin=inner.url)
    assert outer.get("/pass").status == 200
    assert origin.requests[0].header("via").count("larder-") == 2


def test_a_via_that_only_looks_like_ours(larder, origin):
    proxy = larder("upstream main %ORIGIN%", origin=origin.url)
    for via in ("1.1 larder", "1.1 larder-00000000", "larder", ",,", "1.1 x (larder)"):
        assert proxy.get("/pass", [("Via", via)]).status == 200
