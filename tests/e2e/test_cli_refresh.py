"""`larder refresh`: the schedule, and fetching now."""

import json

import pytest

from lib.admin import start_admin
from lib.larder import run_cli
from lib.origin import answer

CONF = """
upstream main %ORIGIN%
hosts 127.0.0.1 localhost
defaults { upstream main }
route GET /a name=board { scope public; key a; ttl 10m; refresh 5m }
route GET /p/{id} { scope public; key p:{id}; ttl 10m }
"""


@pytest.fixture
def scheduled(larder, origin):
    origin.route("/a", answer(200, b"hello"))
    origin.route("/p/1", answer(200, b"one"))
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    return proxy


def refresh(proxy, *args):
    return run_cli("refresh", "-c", proxy.conf_path, *args)


def test_the_schedule(scheduled):
    r = refresh(scheduled)
    assert r.returncode == 0, r.stderr
    assert r.stdout.splitlines()[1].split()[:4] == ["board", "/a", "5m", "00s"]
    assert json.loads(refresh(scheduled, "--json").stdout)["routes"][0]["path"] == "/a"


def test_a_route_and_a_path(scheduled, origin):
    for args, path in ((("board",), "/a"), (("/p/1",), "/p/1"), (("--all",), "/a")):
        before = origin.count(path)
        r = refresh(scheduled, *args)
        assert r.returncode == 0 and "stored" in r.stdout, r
        assert origin.count(path) > before
    assert scheduled.get("/p/1").x_cache == "HIT"


def test_what_fails(scheduled, origin):
    origin.route("/a", answer(500, b"no"))
    r = refresh(scheduled, "board")
    assert r.returncode == 1 and "failed" in r.stdout
    r = refresh(scheduled, "unknown")
    assert r.returncode == 1 and r.stdout == "" and len(r.stderr.splitlines()) == 1


@pytest.mark.parametrize("args", [("a", "b"), ("a", "--all"), ("--host", "x"), ("a", "--host", "x"),
                                  ("",)])
def test_wrong_arguments(args):
    assert run_cli("refresh", *args).returncode == 2
