"""`larder keys`: names by pattern, and one entry in full."""

import json

import pytest

from lib.admin import start_admin
from lib.larder import run_cli
from lib.origin import answer

CONF = """
upstream main %ORIGIN%
defaults { upstream main; ttl 60s }
route GET /a/{id} { scope public; key a:{id}; tag t:{id} }
route GET /bin { scope public; key bin }
"""


@pytest.fixture
def filled(larder, origin):
    for i in range(1, 6):
        origin.route(f"/a/{i}", answer(200, f"body {i}\u202e\u009b[2J".encode(),
                                       {"Content-Type": "text/plain; charset=utf-8"}))
    origin.route("/bin", answer(200, b"\x00\xff\xfe"))
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    for i in range(1, 6):
        proxy.get(f"/a/{i}")
    proxy.get("/a/1")
    proxy.get("/bin")
    return proxy


def keys(proxy, *args):
    return run_cli("keys", "-c", proxy.conf_path, *args)


def names(r):
    assert r.returncode == 0, r.stderr
    return sorted(line.split()[0] for line in r.stdout.splitlines()[1:])


def test_names_of_a_pattern(filled):
    assert names(keys(filled)) == ["a:1", "a:2", "a:3", "a:4", "a:5", "bin"]
    assert names(keys(filled, "a:[12]")) == ["a:1", "a:2"]
    assert names(keys(filled, "bin", "--tier", "l1")) == ["bin"]
    r = keys(filled, "nothing:*")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "larder: no name matches\n")


def test_facts_of_a_name(filled):
    row = keys(filled, "a:1").stdout.splitlines()[1].split()
    assert row[:3] == ["a:1", "l1", "fresh"] and row[-1] == "t:1"


def test_a_limit_says_that_there_are_more(filled):
    r = keys(filled, "--limit", "2")
    assert len(names(r)) == 2 and "more" in r.stderr
    r = keys(filled, "--limit", "all")
    assert len(names(r)) == 6 and r.stderr == ""
    listing = json.loads(keys(filled, "--limit", "2", "--json").stdout)
    assert len(listing["keys"]) == 2 and listing["complete"] is False


def test_json(filled):
    listing = json.loads(keys(filled, "a:*", "--json").stdout)
    assert listing["complete"] is True
    assert sorted(k["name"] for k in listing["keys"]) == ["a:1", "a:2", "a:3", "a:4", "a:5"]
    assert json.loads(keys(filled, "x", "--json").stdout) == {"keys": [], "complete": True}


def test_one_in_full_cannot_drive_the_terminal(filled):
    r = keys(filled, "--show", "a:1")
    assert r.returncode == 0, r.stderr
    assert "body 1\\u202e\\u009b[2J" in r.stdout
    assert "\u202e" not in r.stdout and "\x9b" not in r.stdout
    assert "Content-Type: text/plain" in r.stdout
    r = keys(filled, "--show", "a:1", "--json")
    assert "\u202e" not in r.stdout and "\x9b" not in r.stdout
    entry = json.loads(r.stdout)
    assert entry["name"] == "a:1" and entry["body"] == "body 1\u202e\u009b[2J"


def test_a_body_that_is_no_text(filled):
    r = keys(filled, "--show", "bin")
    assert r.returncode == 0 and "not text" in r.stdout


def test_a_name_that_is_not_there(filled):
    r = keys(filled, "--show", "a:99")
    assert r.returncode == 1 and r.stdout == "" and "nothing is stored" in r.stderr


@pytest.mark.parametrize("args", [("a", "b"), ("--show", "a", "b"), ("--tier", "l3"),
                                  ("--limit", "0"), ("--limit", "many"), ("--host", "x"),
                                  ("--show", "a", "--limit", "1")])
def test_wrong_arguments(args):
    r = run_cli("keys", *args)
    assert r.returncode == 2 and r.stdout == ""
