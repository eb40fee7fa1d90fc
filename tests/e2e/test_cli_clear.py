"""`larder clear`: what goes, what stays, and who is asked."""

import json
import subprocess

import pytest

from lib.admin import start_admin
from lib.larder import binary, run_cli
from lib.origin import answer
from lib.terminal import Terminal

CONF = """
upstream main %ORIGIN%
defaults { upstream main; ttl 60s }
type dish { scope public }
route GET /a/{id} { scope public; key a:{id}; tag even:{id} }
route GET /b name=bee { key b; type dish }
"""
PATHS = ("/a/1", "/a/2", "/b")


@pytest.fixture
def filled(larder, origin):
    for path in PATHS:
        origin.route(path, answer(200, b"x"))
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    for path in PATHS:
        proxy.get(path)
    return proxy


def stored(proxy):
    """Those that hit; the others are stored again by asking."""
    return [path for path in PATHS if proxy.get(path).x_cache == "HIT"]


@pytest.mark.parametrize("args,left", [
    (("a:1",), ["/a/2", "/b"]),
    (("a:*",), ["/b"]),
    (("--key", "a:2"), ["/a/1", "/b"]),
    (("--key", "a:*"), list(PATHS)),
    (("--type", "dish"), ["/a/1", "/a/2"]),
    (("--tag", "even:2"), ["/a/1", "/b"]),
    (("--route", "bee"), ["/a/1", "/a/2"]),
    (("--all", "--yes"), []),
    (("--wait", "b"), ["/a/1", "/a/2"]),
])
def test_what_is_named_goes(filled, args, left):
    assert stored(filled) == list(PATHS)
    r = run_cli("clear", "-c", filled.conf_path, *args)
    assert (r.returncode, r.stderr) == (0, ""), r
    assert r.stdout.startswith("cleared ")
    assert stored(filled) == left


def test_json(filled):
    r = run_cli("clear", "a:*", "--json", "-c", filled.conf_path)
    assert r.returncode == 0 and r.stdout.count("\n") == 1
    assert json.loads(r.stdout)["cleared"] == "a:*"


@pytest.mark.parametrize("args", [("--all",), ("*",), ("**",)])
def test_everything_needs_a_yes(filled, args):
    r = run_cli("clear", *args, "-c", filled.conf_path)
    assert r.returncode == 2 and "--yes" in r.stderr and r.stdout == ""
    # Nor does an answer count that nobody typed.
    r = run_cli("clear", *args, "-c", filled.conf_path, input="y\n")
    assert r.returncode == 2
    assert stored(filled) == list(PATHS)


def test_it_asks_on_a_terminal(filled):
    for reply, code, left in (("\r", 1, list(PATHS)), ("no\r", 1, list(PATHS)), ("y\r", 0, [])):
        with Terminal("clear", "--all", "-c", filled.conf_path) as t:
            t.wait_for("[y/N] ")
            t.type(reply)
            assert t.wait() == code, t.text
        assert stored(filled) == left


@pytest.mark.parametrize("args", [(), ("a", "b"), ("a", "--all"), ("",), ("--tag", ""),
                                  ("--type", "x", "--tag", "y"), ("--yes",)])
def test_exactly_one_thing(args):
    r = run_cli("clear", *args)
    assert r.returncode == 2 and r.stdout == ""


def test_an_unknown_type_is_an_error(filled):
    r = run_cli("clear", "--type", "dihs", "-c", filled.conf_path)
    assert r.returncode == 1 and "dihs" in r.stderr and len(r.stderr.splitlines()) == 1
    assert stored(filled) == list(PATHS)


def test_a_full_disk_is_noticed(filled):
    with open("/dev/full", "w") as full:
        r = subprocess.run([binary(), "clear", "a:1", "-c", filled.conf_path], stdout=full,
                           stdin=subprocess.DEVNULL, timeout=30)
    assert r.returncode == 1
