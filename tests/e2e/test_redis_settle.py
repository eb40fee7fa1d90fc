"""`settle` with several nodes: the repetition reaches them all, also when its node ends first."""

import pytest

from lib.nodes import delay_until, start_nodes
from lib.origin import answer
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=2s
upstream main %ORIGIN%
log off
route GET  /a { scope public; key a; ttl 600s }
route POST /late { invalidate a; settle %SETTLE% }
"""


@pytest.mark.parametrize("settle", ["500ms", "600s"])
def test_the_repetition_reaches_the_others(larder, redis, origin, settle):
    """The write is answered, both nodes read too early, the backend commits."""
    origin.route("/a", answer(200, b"old"), method="GET")
    origin.route("/late", answer(200, b"taken"), method="POST")
    a, b = start_nodes(larder, redis, 2, CONF, origin=origin.url, settle=settle)
    assert a.post("/late", b"x").status == 200
    for node in (a, b):
        eventually(lambda: node.get("/a").x_cache == "HIT", 10)
    assert b.get("/a").body == b"old"
    origin.route("/a", answer(200, b"new"), method="GET")
    if settle == "600s":
        assert b.get("/a").body == b"old"
        assert a.stop() == 0
    delay_until(b, "/a", b"new", 10)
    assert origin.count("/a") >= 2
