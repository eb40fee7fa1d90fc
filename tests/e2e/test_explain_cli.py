"""`larder explain`: with a running larder, and from the configuration alone."""

import json

import pytest

from lib.explaining import ADMIN
from lib.larder import run_cli
from lib.origin import answer
from lib.ports import free_port
from lib.tokens import SECRET, make_jwt
from lib.wait import eventually

CONF = ADMIN + """
upstream main %ORIGIN%
jwt main alg=HS256 secret=%SECRET%
identity org jwt=main claim=org
defaults { upstream main }
route GET  /a/{id}   { scope public; key a:{id}:{query}; query page; ttl 60s; stale 10s; tag one }
route GET  /org/{id} { key org:{org}:{id}; ttl 60s }
route POST /a/{id}   { invalidate a:{id}:* }
"""
HOST = ("-H", "Host: localhost")


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url, admin=free_port(), secret=SECRET)


def cli(proxy, *args, code=0):
    done = run_cli("explain", "-c", proxy.conf_path, *args)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def test_running(proxy, origin):
    eventually(lambda: "memory" in cli(proxy, "/a/1", *HOST).stdout, 15)
    text = cli(proxy, "GET", "/a/1?page=2&utm_source=x", *HOST).stdout
    for line in ("route       GET /a/{id}", "key         a:1:page=2", "dropped     utm_source",
                 "tags        one", "memory      none", "outcome     MISS, miss: no entry"):
        assert line in text, text
    proxy.get("/a/1?page=2")
    said = json.loads(cli(proxy, "--json", "GET", "/a/1?page=2", *HOST).stdout)
    assert (said["outcome"], said["l1"]["state"]) == ("HIT", "fresh")
    assert "invalidates a:1:*" in cli(proxy, "POST", "/a/1", "-d", "x").stdout
    assert origin.count() == 1


def test_offline(proxy, origin):
    token = make_jwt({"org": "acme"}, key=SECRET)
    text = cli(proxy, "--offline", "GET", "/org/7", "-H", f"Authorization: Bearer {token}").stdout
    assert "key         org:acme:7" in text and "jwt main (HS256), claim org" in text
    assert "outcome     LOOKUP" in text and token not in text
    text = cli(proxy, "--offline", "/org/7").stdout
    assert "org is missing" in text and "outcome     BYPASS, no-org" in text
    said = json.loads(cli(proxy, "--offline", "--json", "/a/1?other=1").stdout)
    assert (said["outcome"], said["reason"], said["l1"]["state"]) == ("BYPASS", "query", "not-asked")
    assert origin.count() == 0


def test_nobody_runs(proxy):
    proxy.stop()
    done = cli(proxy, "/a/1")
    assert "from the configuration alone" in done.stderr and "key         a:1:~e" in done.stdout
    assert run_cli("explain", "--admin", f"127.0.0.1:{proxy.values['admin']}", "/a/1").returncode == 3


def test_wrong_arguments(proxy, tmp_path):
    cli(proxy, code=2)
    cli(proxy, "/a", "-H", "no colon", code=2)
    cli(proxy, "/a", "--peer", "nowhere", code=2)
    cli(proxy, "/a", "--offline", "--admin", "127.0.0.1:1", code=2)
    bad = tmp_path / "bad.conf"
    bad.write_text("rout GET /x\n")
    assert run_cli("explain", "-c", bad, "/a").returncode == 1
    assert "--header" in run_cli("explain", "--help").stdout
