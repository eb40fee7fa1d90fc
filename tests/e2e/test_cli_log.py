"""`larder log` and `larder top`: what is asked for, as it comes."""

import json
import os
import subprocess

import pytest

from lib.admin import start_admin
from lib.larder import binary, run_cli
from lib.origin import answer
from lib.terminal import Terminal
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET /a name=letters { upstream main; scope public; key a; ttl 60s }
route GET /b { upstream main; scope public; key b:{query}; ttl 60s }
"""


@pytest.fixture
def busy(larder, origin):
    origin.route("/a", answer(200, b"hello"))
    origin.route("/b", answer(200, b"hello", {"Set-Cookie": "a=b"}))
    origin.route("/none", answer(200, b"x"))
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    for path in ("/a", "/a", "/b", "/none?x=1"):
        proxy.get(path)
    return proxy


def log(proxy, *args):
    r = run_cli("log", "-c", proxy.conf_path, *args)
    assert r.returncode == 0 and r.stderr == "", r.stderr
    return r.stdout


def wait_lines(proxy, n):
    eventually(lambda: len(log(proxy).splitlines()) >= n, 15, f"{n} requests in the log")


def test_the_last_requests(busy):
    wait_lines(busy, 4)
    text = log(busy)
    assert "HIT" in text and "/none?x=1" in text and "(letters)" in text
    assert len(log(busy, "-n", "1").splitlines()) == 1
    seen = [json.loads(line) for line in log(busy, "--json").splitlines()]
    assert ("GET", "/a", "MISS") in [(r["method"], r["path"], r["cache"]) for r in seen]


def test_filters(busy):
    wait_lines(busy, 4)
    def paths(*args):
        return [json.loads(line)["path"] for line in log(busy, "--json", *args).splitlines()]
    assert paths("--result", "hit") == ["/a"]
    assert paths("--route", "letters") == ["/a", "/a"]
    assert paths("--reason", "set-cookie") == ["/b"]
    assert paths("--result", "pass", "--reason", "no-route") == ["/none?x=1"]
    assert paths("--result", "STALE") == []


def test_a_route_with_a_long_name(larder, origin):
    """Records keep the beginning of it."""
    path = "/" + "abcdefghi/" * 15
    proxy, _ = start_admin(larder, f"upstream main %ORIGIN%\nroute GET {path} {{ upstream main }}\n",
                           origin=origin.url)
    proxy.get(path)
    wait_lines(proxy, 1)
    for name in (f"GET {path}", json.loads(log(proxy, "--json"))["route"]):
        assert len(log(proxy, "--route", name).splitlines()) == 1
    assert log(proxy, "--route", f"GET {path[:40]}") == ""


def test_hostile_paths_cannot_drive_the_terminal(busy):
    busy.get("/a?%1b[2J=%9b&%0a=1")
    wait_lines(busy, 5)
    text = log(busy)
    assert "\x1b" not in text and "\x9b" not in text and len(text.splitlines()) == 5


def test_it_follows_on_a_terminal_and_over_a_restart(busy, larder):
    wait_lines(busy, 4)
    with Terminal("log", "-c", busy.conf_path) as t:
        t.wait_for("/none?x=1")
        busy.get("/none?after=1")
        t.wait_for("/none?after=1")
        values = {k: busy.values[k] for k in ("port", "admin_port", "origin")}
        assert busy.stop() == 0
        t.wait_for("(trying again)")
        again = larder(open(busy.conf_path).read(), **values)
        t.wait_for("connected again")
        again.get("/none?restarted=1")
        t.wait_for("/none?restarted=1")
        t.type("\x03")
        assert t.wait() == 0
        assert t.text.count("/none?after=1") == 1 and "\x1b" not in t.text


def test_it_follows_in_a_pipe_when_told_to(busy):
    wait_lines(busy, 4)
    p = subprocess.Popen([binary(), "log", "-f", "--json", "-c", busy.conf_path],
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                         env={**os.environ, "LARDER_TOKEN": ""})
    try:
        # Of one millisecond and two workers any may be the first.
        paths = sorted(json.loads(p.stdout.readline())["path"] for _ in range(4))
        assert paths == ["/a", "/a", "/b", "/none?x=1"]
        busy.get("/none?later=1")
        assert json.loads(p.stdout.readline())["path"] == "/none?later=1"
        p.terminate()
        assert p.wait(15) == 0
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


@pytest.mark.parametrize("args", [("-n", "0"), ("-n", "x"), ("--result", "hot"), ("words",)])
def test_wrong_arguments(args):
    assert run_cli("log", *args).returncode == 2


def test_top(busy):
    wait_lines(busy, 4)
    r = run_cli("top", "-c", busy.conf_path)
    assert r.returncode == 0 and "\x1b" not in r.stdout, r.stderr
    lines = [line.split() for line in r.stdout.splitlines()]
    assert any(line[1:] == ["a", "letters"] for line in lines)
    assert any(line[2:4] == ["a", "letters"] for line in lines)
    top = json.loads(run_cli("top", "--json", "-n", "1", "-c", busy.conf_path).stdout)
    assert top["keys"][0]["name"] == "a" and len(top["slow"]) == 1
    assert run_cli("top", "-n", "0").returncode == 2


def test_top_of_an_idle_larder_on_a_terminal(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    with Terminal("top", "-i", "100ms", "-c", proxy.conf_path) as t:
        t.wait_for("no requests yet")
        t.wait_for("\x1b[H", t.wait_for("\x1b[J"))
        t.type("\x03")
        assert t.wait() == 0
