"""What four real frameworks can see of a request that fills an entry: nothing of its client.

/echo/… answers with every header, parameter, cookie and the body as the framework has them.
"""

import pytest

from lib.names import COOKIES, FIELDS

CONF = """
upstream app %ORIGIN%
limits   header_bytes=64kb header_count=100
route GET /echo/{id} { scope public; key echo:{id}:{query}; query q unlisted=drop; ttl 60s }
"""
ALLOWED = {"accept", "accept-charset", "traceparent", "tracestate", "via"}
# These the framework's server would refuse or read as framing, were they sent on.
BATCH = 60


@pytest.mark.parametrize("name", ["flask", "fastapi", "fastify", "express"])
def test_nothing_of_the_client_is_seen(larder, backend, name):
    app = backend(name)
    proxy = larder(CONF, origin=app.url)
    seen = set()
    for start in range(0, len(FIELDS), BATCH):
        batch = FIELDS[start:start + BATCH]
        target = f"/echo/{start}"
        fields = [(n, f"canary.{n.lower()}.") for n in batch]
        fields.append(("Cookie", "; ".join(f"{n}=canary.cookie." for n in COOKIES)))
        first = proxy.get(f"{target}?debug=canary.debug.&utm_id=canary.utm.", fields)
        assert first.x_cache == "MISS"
        hit = proxy.get(target)
        assert hit.x_cache == "HIT" and hit.json()["serial"]
        text = hit.text.lower()
        seen |= {n.lower() for n in batch if f"canary.{n.lower()}." in text}
        assert "canary.cookie." not in text and "canary.debug." not in text
        assert "canary.utm." not in text
    assert seen == ALLOWED


def values(query):
    """A framework's parameters as a dict of lists, of those that the route lists."""
    if isinstance(query, dict):
        query = [(n, one) for n, v in query.items() for one in (v if isinstance(v, list) else [v])]
    return [v for n, v in query if n == "q"]


@pytest.mark.parametrize("name", ["flask", "fastapi", "fastify", "express"])
def test_the_framework_reads_what_the_client_wrote(larder, backend, name):
    """Encoding the query anew must not change what it means to the application."""
    app = backend(name)
    proxy = larder(CONF, origin=app.url)
    for query in ("q=1", "q=1;q=2", "q=1%26q=2", "q=1%3Bq=2", "q=1&q=2", "q=2&q=1", "q=%31", "q",
                  "q=", "q=1+2", "q=1%202", "q=1%2B2", "q=1&Q=2", "q=1%23x", "q=%C3%A9", "q==1", "q=1=2",
                  "&&q=1", "q=1&&", "%71=1", "q=a%2Fb", "q=a/b?c", "q=%25", "q=%2525", "q=a%0Ab",
                  "q=(1)*!'~", "q=%F0%9F%8D%B5", "q=" + "x" * 2000):
        stored = proxy.get(f"/echo/1?{query}").json()["query"]
        assert values(stored) == values(app.get(f"/echo/1?{query}").json()["query"]), query
