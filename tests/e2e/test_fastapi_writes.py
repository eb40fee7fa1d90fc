"""FastAPI, system 3: related keys go together, and clearing by pattern through a route."""

from lib.cache import seen
from lib.example import JSON, example

POOLS, TRADES = "/api/pools?limit=5", "/api/trades?limit=5"
PAGE = f"{TRADES}&cursor=YWZ0ZXI6NQ=="
BTC, ETH = "/api/volume/btc-usd", "/api/volume/eth-usd"
BTC_HOUR = f"{BTC}?interval=1h"
STORED = {"pools": POOLS, "trades": TRADES, "page": PAGE, "btc": BTC, "btc hour": BTC_HOUR,
          "eth": ETH}

# The service that Larder replaces had `DELETE /cache?pattern=volume:*`. Here a route of the
# application says what goes; /echo/… answers every method.
CLEARING = """
route DELETE /echo/cache              { invalidate all }
route DELETE /echo/cache/volume       { invalidate volume:* }
route DELETE /echo/cache/pair/{pair}  { invalidate volume:pair:{pair}:* }
route DELETE /echo/cache/by-parameter { invalidate volume:pair:{query.pair}:* }
"""


def start(larder, backend):
    app = backend("fastapi")
    proxy = larder(example("fastapi", CLEARING), env={"FASTAPI_URL": app.url})
    for target in STORED.values():
        assert proxy.get(target).x_cache == "MISS"
    assert gone(proxy) == set()
    return proxy


def gone(proxy):
    """Names of what is not a hit any more. Asking fills it again."""
    return {name for name, target in STORED.items() if proxy.get(target).x_cache != "HIT"}


def test_new_trade_clears_lists_and_volumes(larder, backend):
    proxy = start(larder, backend)
    before = proxy.get(BTC).json()["volume"]
    assert proxy.post("/api/trades", b'{"pair": "btc-usd", "amount": 7}', JSON).status == 201
    assert proxy.get(BTC).json()["volume"] == before + 7
    assert gone(proxy) == {"trades", "page", "btc hour", "eth"}


def test_deleted_trade_clears_lists_and_volumes(larder, backend):
    proxy = start(larder, backend)
    assert proxy.request("DELETE", "/api/trades/3").status == 204
    assert 3 not in [t["id"] for t in proxy.get(TRADES).json()["items"]]
    assert gone(proxy) == {"page", "btc", "btc hour", "eth"}


def test_refused_write_clears_nothing(larder, backend):
    proxy = start(larder, backend)
    assert proxy.post("/api/trades", b'{"pair": 1}', JSON).status == 422
    assert proxy.request("DELETE", "/api/trades/4711").status == 404
    assert gone(proxy) == set()


def test_clear_by_pattern(larder, backend):
    proxy = start(larder, backend)
    assert proxy.request("DELETE", "/echo/cache/volume").status == 200
    assert gone(proxy) == {"btc", "btc hour", "eth"}
    assert proxy.request("DELETE", "/echo/cache/pair/btc-usd").status == 200
    assert gone(proxy) == {"btc", "btc hour"}
    assert proxy.request("DELETE", "/echo/cache").status == 200
    assert gone(proxy) == set(STORED)


def test_a_value_cannot_be_a_pattern(larder, backend):
    proxy = start(larder, backend)
    for nothing in ("/echo/cache/pair/*", "/echo/cache/pair/%2A", "/echo/cache/pair/b*",
                    "/echo/cache/pair/[a-z]tc-usd", "/echo/cache/pair/btc-us%3F",
                    "/echo/cache/by-parameter?pair=*", "/echo/cache/by-parameter?pair=btc-us%3F"):
        assert proxy.request("DELETE", nothing).status == 200, nothing
        assert gone(proxy) == set(), nothing
    assert proxy.request("DELETE", "/echo/cache/by-parameter?pair=eth-usd").status == 200
    assert gone(proxy) == {"eth"}
    # What the write does not name could be any pair.
    assert proxy.request("DELETE", "/echo/cache/by-parameter").status == 200
    assert gone(proxy) == {"btc", "btc hour", "eth"}


def test_event_stream_is_not_kept(larder, backend):
    proxy = start(larder, backend)
    first, second = proxy.get("/api/stream"), proxy.get("/api/stream")
    assert first.text.count("data: ") == 3 and first.body != second.body
    assert seen(second) == ("PASS", "stream")
