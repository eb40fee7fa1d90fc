"""What lies under a key in Redis: variants, compressed bodies, limits, damage, foreign bytes."""

import gzip
import itertools
import random

import pytest

from lib.nodes import start_nodes
from lib.origin import answer
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=2s max_object_redis=64kb
upstream main %ORIGIN%
route GET /a/{id}    { scope public; key a:{id}; ttl 60s }
route GET /zip/{id}  { scope public; key zip:{id}; ttl 60s; compress 1kb }
route POST /a/{id}   { invalidate a:{id} }
"""


@pytest.fixture
def nodes(larder, redis, origin):
    return start_nodes(larder, redis, 2, CONF, origin=origin.url)


def stored(redis, name):
    return eventually(lambda: redis.call("GET", f"shop:{name}"), 5, f"{name} in Redis")


# ---- variants


def by_language(origin):
    origin.default = lambda x: x.answer(
        200, "in " + x.request.header("accept-language", "nothing"),
        {"Vary": "Accept-Language", "Content-Type": "text/plain"})


def ask(node, language):
    return node.get("/a/1", [("Accept-Language", language)])


def test_variants(nodes, redis, origin):
    by_language(origin)
    a, b = nodes
    for language in ("de", "en", "fr"):
        assert ask(a, language).x_cache == "MISS"
    eventually(lambda: len(redis.entries("shop")) == 4)  # a marker and three variants
    names = redis.entries("shop")
    assert "shop:a:1" in names
    assert sum(n.startswith("shop:a:1#") for n in names) == 3
    assert all(redis.call("PTTL", n) > 0 for n in names)
    for language in ("de", "en", "fr"):
        got = ask(b, language)
        assert (got.x_cache, got.body) == ("HIT", f"in {language}".encode())
    got = ask(b, "it")
    assert (got.x_cache, got.body) == ("MISS", b"in it")
    eventually(lambda: len(redis.entries("shop")) == 5)
    assert ask(a, "it").x_cache == "HIT"


def test_a_write_takes_all_variants_away(nodes, redis, origin):
    by_language(origin)
    a, b = nodes
    for language in ("de", "en"):
        ask(a, language)
    eventually(lambda: len(redis.entries("shop")) == 3)
    assert b.post("/a/1").status == 200
    origin.clear()
    for node in nodes:
        for language in ("de", "en"):
            assert ask(node, language).body == f"in {language}".encode()
    # Each node either asked or took what the other had just stored; nothing old was served.
    assert origin.count("/a/1") >= 2


def test_a_lost_marker_is_a_miss(nodes, redis, origin):
    by_language(origin)
    a, b = nodes
    ask(a, "de")
    eventually(lambda: len(redis.entries("shop")) == 2)
    redis.call("UNLINK", "shop:a:1")
    assert ask(b, "de").body == b"in de"


def test_a_lost_variant_is_a_miss(nodes, redis, origin):
    by_language(origin)
    a, b = nodes
    ask(a, "de")
    name = eventually(lambda: [n for n in redis.entries("shop") if "#" in n])[0]
    redis.call("UNLINK", name)
    got = ask(b, "de")
    assert (got.x_cache, got.body) == ("MISS", b"in de")
    eventually(lambda: redis.call("EXISTS", name))


def test_a_marker_that_points_to_a_marker_ends(nodes, redis, origin):
    """A damaged or hostile Redis cannot send a request round in circles."""
    by_language(origin)
    a, b = nodes
    ask(a, "de")
    name = eventually(lambda: [n for n in redis.entries("shop") if "#" in n])[0]
    redis.call("COPY", "shop:a:1", name, "REPLACE")
    got = ask(b, "de")
    assert (got.status, got.body) == (200, b"in de")


# ---- compressed bodies


def test_gzip_is_stored_once_and_fits_every_client(nodes, redis, origin):
    text = (b"the quick brown fox " * 1000)
    origin.route("/zip/1", answer(200, text, {"Content-Type": "text/plain", "ETag": '"v1"'}))
    a, b = nodes
    assert a.get("/zip/1").body == text
    assert len(stored(redis, "zip:1")) < 2000
    got = b.get("/zip/1", [("Accept-Encoding", "gzip")])
    assert (got.x_cache, got.header("content-encoding")) == ("HIT", "gzip")
    assert gzip.decompress(got.body) == text
    assert got.header("etag") == 'W/"v1"'
    plain = b.get("/zip/1")
    assert (plain.x_cache, plain.header("content-encoding"), plain.body) == ("HIT", None, text)


# ---- limits


def test_larger_ones_stay_in_memory(nodes, redis, origin):
    origin.route("/a/big", answer(200, bytes(200_000)))
    origin.route("/a/small", answer(200, bytes(20_000)))
    a, b = nodes
    a.get("/a/big")
    a.get("/a/small")
    stored(redis, "a:small")
    assert redis.call("EXISTS", "shop:a:big") == 0
    assert a.get("/a/big").x_cache == "HIT"
    assert b.get("/a/big").x_cache == "MISS"
    assert b.get("/a/small").x_cache == "HIT"


def test_a_huge_value_is_not_read(nodes, redis, origin):
    """Somebody else's 100 MB under our name: refused by its length, memory stays small."""
    a, b = nodes
    redis.call("SETRANGE", "shop:a:1", 100_000_000, "x")
    before = b.rss()
    got = b.get("/a/1")
    assert (got.status, got.x_cache) == (200, "MISS")
    assert b.rss() - before < 30_000_000
    # The connection had to be given up for that; it comes back.
    def stores_again():
        n = next(numbers)
        assert b.get(f"/a/{n}").status == 200
        return redis.call("EXISTS", f"shop:a:{n}")
    numbers = itertools.count(2)
    eventually(stores_again, 5)


def test_nothing_without_use_is_stored(nodes, redis, origin):
    """What must not be stored, or expires at once, is not in Redis either."""
    a, _ = nodes
    origin.route("/a/private", answer(200, b"x", {"Cache-Control": "private"}))
    origin.route("/a/no-store", answer(200, b"x", {"Cache-Control": "no-store"}))
    origin.route("/a/cookie", answer(200, b"x", {"Set-Cookie": "a=b"}))
    origin.route("/a/error", answer(500, b"x"))
    for name in ("private", "no-store", "cookie", "error"):
        a.get(f"/a/{name}")
    a.get("/a/good")
    stored(redis, "a:good")
    assert redis.entries("shop") == ["shop:a:good"]


# ---- damage


def spoil(value, pick):
    """One of many kinds of damage."""
    kind = pick.randrange(6)
    at = pick.randrange(len(value))
    if kind == 0:
        return value[:at]
    if kind == 1:
        return value[:at] + bytes([value[at] ^ (1 << pick.randrange(8))]) + value[at + 1:]
    if kind == 2:
        return value + pick.randbytes(pick.randrange(1, 50))
    if kind == 3:
        return value[:at] + pick.randbytes(pick.randrange(1, 9)) + value[at:]
    if kind == 4:
        return pick.randbytes(len(value))
    end = min(len(value), at + pick.randrange(1, 64))
    return value[:at] + bytes(end - at) + value[end:]


def test_damaged_values_are_misses(nodes, redis, origin):
    a, b = nodes
    body = b"the one and only answer"
    origin.default = lambda x: x.answer(200, body + x.request.path.encode())
    pick = random.Random(11)
    for n in range(150):
        a.get(f"/a/{n}")
    eventually(lambda: len(redis.entries("shop")) == 150)
    damaged = 0
    for n in range(150):
        good = redis.call("GET", f"shop:a:{n}")
        bad = spoil(good, pick)
        redis.call("SET", f"shop:a:{n}", bad, "PX", 60000)
        got = b.get(f"/a/{n}")
        assert (got.status, got.body) == (200, body + b"/a/%d" % n)
        assert got.x_cache == ("HIT" if bad == good else "MISS"), n
        damaged += bad != good
    assert damaged > 140


@pytest.mark.parametrize("value", [b"", b"x", b"\0" * 400, b"PROTOCOL", b"{\"a\": 1}" * 100])
def test_foreign_strings_are_misses(nodes, redis, origin, value):
    redis.call("SET", "shop:a:1", value, "PX", 60000)
    got = nodes[0].get("/a/1")
    assert (got.status, got.x_cache) == (200, "MISS")
    eventually(lambda: redis.call("GET", "shop:a:1") != value, 5, "it is overwritten")


@pytest.mark.parametrize("make", [("RPUSH", "x"), ("HSET", "x", "y"), ("SADD", "x"),
                                  ("ZADD", "1", "x"), ("XADD", "*", "x", "y")])
def test_other_types_are_misses(nodes, redis, origin, make):
    """WRONGTYPE is an error of this key, not of the server."""
    command, *rest = make
    redis.call(command, "shop:a:1", *rest)
    for node in nodes:
        got = node.get("/a/1")
        assert got.status == 200
    eventually(lambda: redis.call("TYPE", "shop:a:1") == b"string", 5, "it is overwritten")
    for n in range(10):
        nodes[0].get("/a/1")
    assert nodes[1].get("/a/other").status == 200


def test_another_entry_under_the_name_is_a_miss(nodes, redis, origin):
    """A whole and valid entry, but of another name: the full name is compared."""
    a, b = nodes
    a.get("/a/one")
    stored(redis, "a:one")
    redis.call("COPY", "shop:a:one", "shop:a:two")
    got = b.get("/a/two")
    assert (got.x_cache, b"/a/two" in got.body) == ("MISS", True)


def test_another_schema_is_a_miss(nodes, redis, origin):
    """Two versions of Larder on one prefix: what the other wrote is a miss, and overwritten."""
    a, b = nodes
    for n in range(4):
        a.get(f"/a/{n}")
    eventually(lambda: len(redis.entries("shop")) == 4)
    for n in range(4):
        value = redis.call("GET", f"shop:a:{n}")
        magic, version = value[:4], value[4:6]
        other = (int.from_bytes(version, "little") + 1 + n).to_bytes(2, "little")
        redis.call("SET", f"shop:a:{n}", magic + other + value[6:], "PX", 60000)
        assert b.get(f"/a/{n}").x_cache == "MISS"
        eventually(lambda: redis.call("GET", f"shop:a:{n}")[4:6] == version, 5)
