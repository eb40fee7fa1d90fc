"""What holds for every row of endpoints.def, whatever it does."""

import os
import re

import pytest

from lib.admin import is_problem, start_admin
from lib.larder import REPO

CONF = """
hosts api.test
upstream main %ORIGIN%
type thing { ttl 1h; scope public }
route GET /a/{id} { type thing; upstream main; key a:{id} }
"""


def rows():
    with open(os.path.join(REPO, "proxy", "admin", "endpoints.def"), encoding="utf-8") as f:
        text = re.sub(r"^/\*.*?\*/$", "", f.read(), flags=re.S | re.M)
    found = re.findall(r'ENDPOINT\(([A-Z_ |]+),\s*"([^"]+)",\s*"([^"]*)",\s*(\d+),\s*([A-Z_ |0]+),', text)
    assert len(found) == text.count("ENDPOINT(") > 20
    for methods, path, query, body_max, flags in found:
        for method in methods.replace("ADMIN_", "").split(" | "):
            yield method, path, int(body_max), flags


ROWS = list(rows())
METHODS = {"GET", "POST", "DELETE"}


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    from lib.larder import Larder
    from lib.origin import FakeOrigin
    origin = FakeOrigin().start()
    made = []

    def larder(conf, **values):
        made.append(Larder(tmp_path_factory.mktemp("every"), conf, **values))
        return made[0]
    yield start_admin(larder, CONF, origin=origin.url)[1]
    made[0].finish()
    origin.stop()


def concrete(path):
    return path.replace("*", "thing")


@pytest.mark.parametrize("method, path, body_max, flags", ROWS, ids=[f"{r[0]} {r[1]}" for r in ROWS])
def test_every(plane, method, path, body_max, flags):
    target = concrete(path)
    no_token = "NO_TOKEN" in flags
    for token in (False, "0123456789abcdef0123456789abcdeX"):
        r = plane.request(method, target, token=token)
        assert (r.status == 401) != no_token, (token, r)
        if not no_token:
            is_problem(r, 401)
            assert r.header("www-authenticate", "").startswith("Bearer")
    for name in ("evil.test", "evil.test:80"):
        is_problem(plane.request(method, target, host=name), 421)
    allowed = {m for m, p, _, _ in ROWS if concrete(p) == target or
               p.endswith("*") and target.startswith(p[:-1]) and len(target) >= len(p)}
    for other in METHODS - allowed:
        r = plane.request(other, target)
        is_problem(r, 405)
        assert method in r.header("allow")
    is_problem(plane.request(method, target + "?no_such_parameter=1"), 400)
    big = b'{"x":"' + b"y" * max(body_max, 1) + b'"}'
    is_problem(plane.request(method, target, big), 413 if body_max else 400)
    if body_max:
        is_problem(plane.request(method, target, b"{}", headers=[("Content-Type", "text/plain")]), 415)
        is_problem(plane.request(method, target, b"{not json"), 400) if "explain" in path else None
    if method == "POST":
        is_problem(plane.request(method, target, headers=[("Origin", "http://evil.test")]), 403)


def test_head_is_get_without_its_body(plane):
    for method, path, _, _ in ROWS:
        if method == "GET" and "*" not in path and path not in ("/metrics", "/", "/readyz", "/health"):
            head, get = plane.request("HEAD", path), plane.get(path)
            assert (head.status, head.body) == (get.status, b""), path
