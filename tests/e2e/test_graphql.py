"""GraphQL over POST: queries are cached, mutations write, subscriptions stream."""

import itertools
import json
import threading

import pytest

from lib.origin import LAST_CHUNK, Hang, Reset, Wait, answer, chunk
from lib.raw import encode_request
from lib.tokens import bearer, make_jwt
from lib.wait import eventually

CONF = """
workers 2
upstream main %ORIGIN%
defaults { upstream main }
route GET  /users/{id} { ttl 60s; scope public; key users:{id} }
route GET  /other      { ttl 60s; scope public; key other }
route POST /graphql      { method_body on; ttl 60s; scope public; key g:{body} }
route POST /named        { method_body on; ttl 60s; scope public; key n:{body}; invalidate users:* }
route POST /tenant/{t}   { method_body on; ttl 60s; scope public; key t:{t}:{body} }
"""


def detail(r):
    return r.header("cache-status").rsplit("detail=", 1)[-1]


def gql(proxy, path, query, headers=(), **more):
    body = json.dumps({"query": query, **more}).encode()
    return proxy.post(path, body, [("Content-Type", "application/json"), *headers])


@pytest.fixture
def proxy(larder, origin):
    serial = itertools.count(1)
    origin.default = lambda x: x.answer(200, b"%d" % next(serial))
    return larder(CONF, origin=origin.url)


def test_queries_are_cached(proxy):
    first = gql(proxy, "/graphql", "query Q($id: ID!) { user(id: $id) { name } }",
                variables={"id": 1})
    assert first.x_cache == "MISS"
    again = gql(proxy, "/graphql", "query Q($id: ID!) { user(id: $id) { name } }",
                variables={"id": 1})
    assert (again.x_cache, again.body) == ("HIT", first.body)
    assert gql(proxy, "/graphql", "query Q($id: ID!) { user(id: $id) { name } }",
               variables={"id": 2}).x_cache == "MISS"


def test_a_mutation_is_a_write(proxy, origin):
    """Sent each time, never stored; after it the route's own answers are gone, no others."""
    assert gql(proxy, "/graphql", "{ users { name } }").x_cache == "MISS"
    assert gql(proxy, "/tenant/a", "{ users { name } }").x_cache == "MISS"
    assert proxy.get("/users/1").x_cache == "MISS"
    sent = []
    for _ in range(2):
        r = gql(proxy, "/graphql", "mutation { add(name: \"x\") { id } }",
                [("Cookie", "s=1"), ("Authorization", "Bearer y")])
        assert (r.x_cache, detail(r)) == ("BYPASS", "mutation")
        assert "stored" not in r.header("cache-status")
        sent.append(r.body)
    assert sent[0] != sent[1]
    last = origin.requests[-1]
    assert (last.header("cookie"), last.header("authorization")) == ("s=1", "Bearer y")
    assert json.loads(last.body)["query"].startswith("mutation")
    assert gql(proxy, "/graphql", "{ users { name } }").x_cache == "MISS"
    assert gql(proxy, "/tenant/a", "{ users { name } }").x_cache == "HIT"
    assert proxy.get("/users/1").x_cache == "HIT"


def test_path_parameters_bound_what_is_gone(proxy):
    for tenant in "ab":
        gql(proxy, f"/tenant/{tenant}", "{ a }")
    gql(proxy, "/tenant/a", "mutation { a }")
    assert gql(proxy, "/tenant/a", "{ a }").x_cache == "MISS"
    assert gql(proxy, "/tenant/b", "{ a }").x_cache == "HIT"


def test_invalidate_names_what_is_gone(proxy):
    gql(proxy, "/named", "{ a }")
    proxy.get("/users/1")
    proxy.get("/other")
    gql(proxy, "/named", "mutation { a }")
    assert proxy.get("/users/1").x_cache == "MISS"
    assert proxy.get("/other").x_cache == "HIT"
    assert gql(proxy, "/named", "{ a }").x_cache == "HIT"


@pytest.mark.parametrize("body,kind,reason", [
    (b'[{"query":"{a}"},{"query":"mutation{b}"}]', "application/json", "mutation"),
    (b'{"query":"query A{a} mutation B{b}","operationName":"B"}', "application/json", "mutation"),
    (b'{"query":"m\\u0075tation{b}"}', "text/plain", "mutation"),
    (b'mutation { a }', "application/graphql", "mutation"),
    (b'{"query":"mutation { a "}', "application/json", "graphql"),
    (b'{"query":"{a}","query":"mutation{b}"}', "application/json", "graphql"),
    (b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"0"}}}', "application/json",
     "graphql"),
    (b'query=mutation%7Ba%7D', "application/x-www-form-urlencoded", "graphql"),
])
def test_whatever_may_write_is_a_write(proxy, body, kind, reason):
    gql(proxy, "/graphql", "{ a }")
    for _ in range(2):
        r = proxy.post("/graphql", body, [("Content-Type", kind)])
        assert (r.x_cache, detail(r)) == ("BYPASS", reason)
    assert gql(proxy, "/graphql", "{ a }").x_cache == "MISS"


def test_what_cannot_be_read_is_a_write(proxy):
    gql(proxy, "/graphql", "{ a }")
    r = proxy.post("/graphql", b"\x1f\x8b\x08", [("Content-Type", "application/json"),
                                                 ("Content-Encoding", "gzip")])
    assert (r.x_cache, detail(r)) == ("BYPASS", "graphql")
    assert gql(proxy, "/graphql", "{ a }").x_cache == "MISS"
    r = gql(proxy, "/graphql", "{ a }", variables={"text": "x" * 70000})
    assert (r.x_cache, detail(r)) == ("BYPASS", "body")
    assert gql(proxy, "/graphql", "{ a }").x_cache == "MISS"


def test_the_operation_that_runs_decides(proxy):
    both = "query A { a } mutation B { b }"
    assert gql(proxy, "/graphql", both, operationName="A").x_cache == "MISS"
    assert gql(proxy, "/graphql", both, operationName="A").x_cache == "HIT"
    assert gql(proxy, "/graphql", "{ a(s: \"} mutation { b }\") } # mutation").x_cache == "MISS"
    assert gql(proxy, "/graphql", "{ a(s: \"} mutation { b }\") } # mutation").x_cache == "HIT"


def test_a_subscription_streams(proxy, origin):
    """Passed as it comes, and nothing is invalidated by it."""
    gql(proxy, "/other", "{ a }")
    assert gql(proxy, "/graphql", "{ a }").x_cache == "MISS"
    go = threading.Event()
    origin.route("/graphql", [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunk(b"data: 1\n\n"), Wait(go), chunk(b"data: 2\n\n"), LAST_CHUNK])
    with proxy.raw() as c:
        c.send(encode_request("POST", "/graphql", [("Content-Type", "application/json")],
                              b'{"query":"subscription { a }"}'))
        c.read_until(b"data: 1\n\n")
        go.set()
        c.read_until(LAST_CHUNK)
    assert gql(proxy, "/graphql", "{ a }").x_cache == "HIT"


def test_a_refused_mutation_changes_nothing(proxy, origin):
    gql(proxy, "/graphql", "{ a }")
    origin.route("/graphql", answer(403, b"no"))
    assert gql(proxy, "/graphql", "mutation { a }").status == 403
    assert gql(proxy, "/graphql", "{ a }").x_cache == "HIT"


@pytest.mark.parametrize("end", [[Reset()], [answer(502, b"")],
                                 [b"HTTP/1.1 200 OK\r\nContent-Le", Reset()]])
def test_an_unknown_outcome_counts_as_success(proxy, origin, end):
    gql(proxy, "/graphql", "{ a }")
    origin.script(end)
    assert gql(proxy, "/graphql", "mutation { a }").status == 502
    assert origin.count("/graphql") == 2  # a write is not sent twice
    assert gql(proxy, "/graphql", "{ a }").x_cache == "MISS"


def test_a_client_that_leaves_does_not_cancel_its_mutation(proxy, origin):
    gql(proxy, "/graphql", "{ a }")
    go = threading.Event()
    origin.script([Wait(go), answer(200, b"done")])
    with proxy.raw() as c:
        c.send(encode_request("POST", "/graphql", [("Content-Type", "application/json")],
                              b'{"query":"mutation { a }"}'))
        origin.wait_requests(2)
    go.set()
    eventually(lambda: gql(proxy, "/graphql", "{ a }").x_cache == "MISS", 5, "an invalidation")


def test_a_fetch_under_way_is_not_kept(proxy, origin):
    """A query sent before the mutation was answered may show what was before it."""
    go = threading.Event()
    origin.script([Wait(go), answer(200, b"before")])
    with proxy.raw() as c:
        c.send(encode_request("POST", "/graphql", [("Content-Type", "application/json")],
                              b'{"query":"{ a }"}'))
        origin.wait_requests(1)
        assert gql(proxy, "/graphql", "mutation { a }").status == 200
        later = gql(proxy, "/graphql", "{ a }")
        assert later.body != b"before"
        go.set()
        assert c.read_response("POST").body == b"before"
    assert gql(proxy, "/graphql", "{ a }").body == later.body


def test_identities_keep_queries_apart(larder, origin):
    """Without a token nothing is cached, and a mutation without one writes all the same."""
    serial = itertools.count(1)
    origin.default = lambda x: x.answer(200, b"%d" % next(serial))
    proxy = larder("""
upstream main %ORIGIN%
jwt main alg=HS256 secret=0123456789abcdef0123456789abcdef
identity user jwt=main claim=sub
route POST /graphql { method_body on; ttl 60s; key g:{user}:{body} }
""", origin=origin.url)
    secret = "0123456789abcdef0123456789abcdef"
    ann, bob = (bearer(make_jwt({"sub": who}, secret)) for who in ("ann", "bob"))
    assert gql(proxy, "/graphql", "{ me }", ann).x_cache == "MISS"
    assert gql(proxy, "/graphql", "{ me }", bob).x_cache == "MISS"
    assert gql(proxy, "/graphql", "{ me }", ann).x_cache == "HIT"
    for _ in range(2):
        r = gql(proxy, "/graphql", "{ me }")
        assert (r.x_cache, detail(r)) == ("BYPASS", "no-user")
    # an anonymous query is a read: it invalidates nothing
    assert gql(proxy, "/graphql", "{ me }", ann).x_cache == "HIT"
    gql(proxy, "/graphql", "mutation { login }")
    assert gql(proxy, "/graphql", "{ me }", ann).x_cache == "MISS"


def test_waiting_queries_survive_a_hanging_leader(larder, origin):
    proxy = larder("""
upstream main %ORIGIN%
route POST /graphql { method_body on; ttl 60s; scope public; key g:{body}; timeout first_byte=300ms }
""", origin=origin.url)
    origin.script([Hang()])
    assert gql(proxy, "/graphql", "{ a }").status == 504
    assert gql(proxy, "/graphql", "{ a }").status == 200
