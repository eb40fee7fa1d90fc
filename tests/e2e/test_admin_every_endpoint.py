"""Every row of endpoints.def, taken through what holds for all of them: a good call is answered; one
without the token, from elsewhere, with another method, too large or misspelt is refused and changes
nothing."""

import json
import os
import re

import pytest

from lib.admin import TOKEN, Admin, is_problem, with_admin
from lib.larder import REPO, Larder
from lib.origin import FakeOrigin
from lib.wait import eventually

CONF = """
hosts api.test
upstream main %ORIGIN%
type thing { ttl 1h; scope public }
route GET /a/{id} { type thing; upstream main; key a:{id} }
route GET /soon name=soon { scope public; upstream main; ttl 1h; refresh 1h }
"""
EXPLAIN = {"method": "GET", "target": "/a/1", "headers": {"Host": "api.test"}}

# A harmless call of each row: (what stands for the *, query, body). A row without one fails.
GOOD = {
    "GET /": ("", "", None),
    "GET /livez": ("", "", None),
    "GET /readyz": ("", "", None),
    "GET /health": ("", "", None),
    "GET /api/cache/health": ("", "", None),
    "GET /routes": ("", "", None),
    "GET /config": ("", "", None),
    "POST /reload": ("", "", {}),
    "POST /explain": ("", "", EXPLAIN),
    "POST /invalidate/*": ("thing", "wait=all&soft=on", {}),
    "POST /invalidate-pattern": ("", "wait=all&soft=off", {"pattern": "none:*"}),
    "POST /clear-all": ("", "wait=all&soft=on", {}),
    "DELETE /cache": ("", "pattern=none:*&wait=all&soft=on", None),
    "POST /api/cache/invalidate/*": ("thing", "wait=all", {}),
    "POST /api/cache/invalidate-pattern": ("", "soft=on", {"tag": "none"}),
    "POST /api/cache/clear-all": ("", "soft=on", {}),
    "DELETE /api/cache/clear": ("", "pattern=none:*&wait=all", None),
    "DELETE /api/cache": ("", "pattern=none:*&soft=on", None),
    "GET /keys": ("", "pattern=a:*&limit=5&tier=l1", None),
    "GET /keys/*": ("a:1", "host=api.test&tier=l1", None),
    "DELETE /keys/*": ("none:1", "wait=all&soft=on", None),
    "GET /stats": ("", "", None),
    "GET /api/cache/stats": ("", "", None),
    "GET /top": ("", "n=3", None),
    "GET /log": ("", "n=3&route=soon&cache=hit&reason=none", None),
    "GET /metrics": ("", "", None),
    "GET /metadata": ("", "", None),
    "POST /refresh": ("", "", {"path": "/soon"}),
    "GET /api/cache/metadata": ("", "", None),
    "POST /api/cache/refresh": ("", "", {"route": "soon"}),
}
NO_JSON = (b"{not json", b"{", b"{}}", b"{} {}", b"[1]", b'"text"', b"null", b"{'a':1}", b'{"a":1,}', b"\xff\xfe",
           b'{"a":' * 100 + b"1" + b"}" * 100)
TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "",
         "application/json2")
FOREIGN = ([("Origin", "http://evil.test")], [("Origin", "null")], [("Origin", "https://localhost")],
           [("Origin", "http://localhost.evil.test")], [("Sec-Fetch-Site", "cross-site")],
           [("Sec-Fetch-Site", "same-site")], [("Origin", "http://localhost"), ("Sec-Fetch-Site", "cross-site")])
METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")


class Row:
    def __init__(self, method, path, query, body_max, flags):
        self.name = f"{method} {path}"
        self.method, self.path = method, path
        self.query, self.body_max = query.split(), int(body_max)
        self.open = "NO_TOKEN" in flags
        self.mutates = "MUTATES" in flags
        rest, good, self.body = GOOD.get(self.name, ("x", "", None))
        self.target = path.replace("*", rest)
        self.good = self.target + ("?" + good if good else "")


def read_rows():
    with open(os.path.join(REPO, "proxy", "admin", "endpoints.def"), encoding="utf-8") as f:
        text = re.sub(r"^/\*.*?\*/$", "", f.read(), flags=re.S | re.M)
    found = re.findall(r'ENDPOINT\(([A-Z_ |]+),\s*"([^"]+)",\s*"([^"]*)",\s*(\d+),\s*([A-Z_ |0]+),', text)
    assert len(found) == text.count("ENDPOINT(") > 20
    return [Row(method, *row) for methods, *row in found for method in methods.replace("ADMIN_", "").split(" | ")]


ROWS = read_rows()
every_row = pytest.mark.parametrize("row", ROWS, ids=[r.name for r in ROWS])


class Plane(Admin):
    """The admin plane of a proxy; no call may be its fault, nor be for other sites' pages."""

    def __init__(self, proxy):
        super().__init__(proxy.values["admin_port"])
        self.proxy = proxy

    def request(self, *args, **kw):
        r = super().request(*args, **kw)
        assert r.status < 500 or r.status == 501, r
        assert not [n for n, _ in r.headers if n.startswith("access-control-")], r
        return r

    def call(self, row, target=None, body=None, **kw):
        """The row's good call, but for what is given."""
        return self.request(row.method, target or row.good, row.body if body is None else body, **kw)

    def data(self):
        return self.proxy.get("/a/1", [("Host", "api.test")])


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    origin = FakeOrigin().start()
    conf, values = with_admin(CONF)
    proxy = Larder(tmp_path_factory.mktemp("every"), conf, origin=origin.url, **values)
    plane = Plane(proxy)
    eventually(plane.accepts, 15, "the admin address is listened on")
    eventually(lambda: Admin(plane.port).get("/readyz").status == 200, 15, "it is ready")
    yield plane
    proxy.finish()
    origin.stop()


@pytest.fixture
def plane(shared):
    """With an entry a:1 that is fresh."""
    eventually(lambda: shared.data().x_cache == "HIT", 15, "the entry is stored")
    return shared


@pytest.fixture
def untouched(plane):
    """What is refused changes nothing."""
    before = plane.data().body
    yield plane
    after = plane.data()
    assert (after.x_cache, after.body) == ("HIT", before)


def test_every_row_has_a_good_call():
    assert sorted(GOOD) == sorted(r.name for r in ROWS)
    for row in ROWS:
        assert (row.body is not None) == (row.body_max > 0), row.name
        assert row.mutates == (row.method != "GET" and row.path != "/explain"), row.name


@every_row
def test_good(plane, row):
    r = plane.call(row)
    assert r.status in (200, 202), r
    assert r.header("cache-control") == "no-store" and r.header("x-content-type-options") == "nosniff"
    if row.open:
        assert plane.call(row, token=False).status == r.status
    # The plane's own page may call what changes something; where nothing is changed it does not matter.
    own = [("Origin", "http://localhost"), ("Sec-Fetch-Site", "same-origin")]
    for headers in (own, own[:1]) if row.method != "GET" else FOREIGN:
        eventually(lambda: plane.data().x_cache == "HIT", 15)
        assert plane.call(row, headers=headers).status in (200, 202), headers
    if row.body_max:
        eventually(lambda: plane.data().x_cache == "HIT", 15)
        largest = json.dumps(row.body).encode().ljust(row.body_max)
        assert plane.call(row, body=largest).status in (200, 202)


@every_row
def test_without_the_token(untouched, row):
    for token in (False, "wrong", TOKEN[:-1] + "X", TOKEN + "0", TOKEN.upper()):
        r = untouched.call(row, token=token)
        if row.open:
            assert r.status == 200, token
        else:
            is_problem(r, 401)
            assert r.header("www-authenticate", "").startswith("Bearer")


@every_row
def test_wrong_method(untouched, row):
    allowed = {m for r in ROWS for m in (r.method, "HEAD" if r.method == "GET" else r.method)
               if r.path == row.target or
               r.path.endswith("*") and row.target.startswith(r.path[:-1]) and len(row.target) >= len(r.path)}
    for method in METHODS:
        if method not in allowed:
            r = untouched.request(method, row.target)
            assert r.status == 405, (method, r)
            assert set(r.header("allow").split(", ")) == allowed, method
            assert method == "HEAD" or is_problem(r, 405)
            # Who has no token does not learn which methods there are.
            r = untouched.request(method, row.target, token=False)
            assert (r.status, r.header("allow")) == (401, None), (method, r)


@every_row
def test_wrong_host(untouched, row):
    for host in ("evil.test", "evil.test:80", "localhost.evil.test", f"evil.test:{untouched.port}", "192.0.2.1", ""):
        is_problem(untouched.call(row, host=host), 421)
        is_problem(untouched.call(row, host=host, token=False), 421)
    is_problem(untouched.call(row, host=None), 400)


@pytest.mark.parametrize("row", [r for r in ROWS if r.method != "GET"],
                         ids=[r.name for r in ROWS if r.method != "GET"])
def test_foreign_origin(untouched, row):
    for headers in FOREIGN:
        is_problem(untouched.call(row, headers=headers), 403)


@every_row
def test_wrong_parameters(untouched, row):
    join = "&" if "?" in row.good else "?"
    wrong = ["no_such_parameter=1", "no_such_parameter", "=1", "%70attern%00=x", "%zz=1", "Pattern=x"]
    for name in row.query:
        wrong += [f"{name}=", name, f"{name}=on&{name}=on", f"{name}=%", f"{name.upper()}=on"]
    for query in wrong:
        is_problem(untouched.call(row, target=row.good + join + query), 400)
        is_problem(untouched.call(row, target=row.target + "?" + query), 400)


@every_row
def test_wrong_body(untouched, row):
    if row.body_max == 0:
        for body in (b"{}", b"x", b"{" + b" " * 4096 + b"}"):
            is_problem(untouched.call(row, body=body), 400)
        return
    good = json.dumps(row.body).encode()
    for size in (row.body_max + 1, row.body_max + 5000):
        is_problem(untouched.call(row, body=good.ljust(size)), 413)
    is_problem(untouched.call(row, body=good.ljust(256 * 1024 + 1)), 413)  # of all rows
    for body in NO_JSON:
        is_problem(untouched.call(row, body=body), 400)
    for kind in TYPES:
        is_problem(untouched.call(row, headers=[("Content-Type", kind)]), 415)
    is_problem(untouched.call(row, headers=[("Content-Encoding", "gzip")]), 415)


def test_head_is_get_without_its_body(plane):
    for row in ROWS:
        if row.method == "GET" and row.path not in ("/metrics", "/readyz", "/health"):
            head, get = plane.request("HEAD", row.good), plane.get(row.good)
            assert (head.status, head.body) == (get.status, b""), row.name
