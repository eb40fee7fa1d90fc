"""GET /keys, GET and DELETE /keys/NAME: what memory holds, page by page, and never a credential."""

import urllib.parse

import pytest

from lib.explaining import ADMIN, ask
from lib.listing import names, pages
from lib.origin import answer
from lib.ports import free_port
from lib.raw import fetch
from lib.wait import eventually

CONF = ADMIN + """
upstream main %ORIGIN%
identity sid credential cookie=sid
defaults { upstream main }
type thing { ttl 60s }
route GET /a/{id}   { scope public; type thing; key a:{id}:{query}; tag one a:{id} }
route GET /b/{id}   { scope public; key b:{id}; ttl 60s; store set-cookie; compress 1kb }
route GET /sid/{id} { key sid:{sid}:{id}; ttl 60s }
"""


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url, admin=free_port())


def one(proxy, name, **query):
    target = "/keys/" + urllib.parse.quote(name, safe="")
    return ask(proxy, target + ("?" + urllib.parse.urlencode(query) if query else ""))


def refused(proxy, path, method="GET"):
    return fetch(proxy.values["admin"], method, path).status


def test_list(proxy):
    assert pages(proxy) == ([], [0])
    proxy.get("/a/1?x=2")
    proxy.get("/b/1")
    for _ in range(3):
        proxy.get("/b/1")
    items, _ = pages(proxy)
    assert names(items) == ["a:1:x=2", "b:1"]
    by_name = {item["name"]: item for item in items}
    a, b = by_name["a:1:x=2"], by_name["b:1"]
    assert (a["tier"], a["state"], a["status"], a["hits"]) == ("l1", "fresh", 200, 1)
    assert a["tags"] == ["one", "a:1"] and a["type"] == "thing"
    assert b["hits"] == 4 and b["host"] == "localhost"
    assert 0 <= a["age_seconds"] <= 30 and 0 <= a["ttl_seconds"] <= 60 and a["bytes"] > 0


def test_patterns_and_pages(proxy):
    for i in range(25):
        proxy.get(f"/a/{i}")
        proxy.get(f"/b/{i}")
    everything, _ = pages(proxy)
    assert len(everything) == 50
    items, sizes = pages(proxy, limit=7)
    assert names(items) == names(everything) and max(sizes) <= 7
    items, sizes = pages(proxy, limit=3, pattern="b:1?")
    assert names(items) == [f"b:1{i}" for i in range(10)] and max(sizes) <= 3
    assert names(pages(proxy, pattern="a:7:*")[0]) == ["a:7:~e"]
    assert pages(proxy, pattern="c:*")[0] == []
    assert len(pages(proxy, tier="l1")[0]) == 50


def test_listing_is_not_a_use(proxy, origin):
    proxy.get("/b/1")
    before = pages(proxy)[0][0]["hits"]
    assert one(proxy, "b:1")["hits"] == before
    assert pages(proxy)[0][0]["hits"] == before


def test_one_in_full(proxy, origin):
    origin.route("/b/1", answer(200, "käse ".encode() * 1000, {
        "Content-Type": "text/plain; charset=utf-8", "Set-Cookie": "sid=s3cret", "ETag": '"e"'}))
    assert proxy.get("/b/1").x_cache == "MISS"
    e = one(proxy, "b:1")
    fields = {name.lower(): value for name, value in e["headers"]}
    assert fields["set-cookie"] == "***" and fields["etag"] == '"e"'
    assert "s3cret" not in str(e)
    assert e["body"] == "käse " * 1000 and e["body_complete"] and e["coding"] == "gzip"
    assert one(proxy, "b:1", host="localhost")["name"] == "b:1"
    assert refused(proxy, "/keys/b%3A1?host=other") == 404
    assert refused(proxy, "/keys/b%3A2") == 404

    origin.route("/b/2", answer(200, bytes(range(256)), {"Content-Type": "image/x"}))
    proxy.get("/b/2")
    e = one(proxy, "b:2")
    assert e["body"] is None and e["body_base64"].startswith("AAECAwQF")

    origin.route("/b/3", answer(200, b"x" * 100_000, {"Content-Type": "image/x"}))
    proxy.get("/b/3")
    e = one(proxy, "b:3")
    assert len(e["body"]) == 65536 and not e["body_complete"] and e["body_bytes"] == 100_000


def test_no_credentials(proxy):
    proxy.get("/sid/1", [("Cookie", "sid=s3cret-session")])
    items, _ = pages(proxy)
    assert len(items) == 1 and "s3cret" not in str(items)
    assert "s3cret" not in str(one(proxy, items[0]["name"]))


def test_delete(proxy):
    for target in ("/b/1", "/b/12"):
        proxy.get(target)
    cleared = ask(proxy, "/keys/b%3A1", method="DELETE")
    assert cleared["cleared"] == "b:1" and cleared["applied"]["here"]
    assert proxy.get("/b/12").x_cache == "HIT"
    states = {i["name"]: i["state"] for i in pages(proxy)[0]}
    assert states == {"b:1": "invalidated", "b:12": "fresh"}
    assert proxy.get("/b/1").x_cache == "MISS"


def test_variants(proxy, origin):
    origin.route("/b/v", answer(200, b"hello", {"Vary": "X-Kind"}))
    for kind in ("a", "b"):
        assert proxy.get("/b/v", [("X-Kind", kind)]).x_cache == "MISS"
    items, _ = pages(proxy, pattern="b:v")
    marker = [i for i in items if i["name"] == "b:v"]
    variants = [i for i in items if i["name"].startswith("b:v#")]
    assert len(items) == 3 and len(variants) == 2
    assert marker[0]["state"] == "marker" and marker[0]["vary"] == "x-kind"
    ask(proxy, "/keys/" + urllib.parse.quote(variants[0]["name"], safe=""), method="DELETE")
    for kind in ("a", "b"):
        assert proxy.get("/b/v", [("X-Kind", kind)]).x_cache == "MISS"


SENSELESS = [
    ("/keys?patern=a", 400), ("/keys?pattern=", 400), ("/keys?limit=x", 400),
    ("/keys?limit=100000", 400), ("/keys?tier=l3", 400), ("/keys?cursor=l1.zz", 400),
    ("/keys?cursor=l9.1.2.3", 400), ("/keys?cursor=l1.99999.0.0", 200),
    ("/keys?pattern=" + "x" * 600, 400), ("/keys/x?tier=l9", 400),
]


def test_questions_that_make_no_sense(proxy):
    eventually(lambda: refused(proxy, "/livez") == 200, 15, "the admin plane")
    assert [(path, refused(proxy, path)) for path, _ in SENSELESS] == SENSELESS
