"""Views that draw again and again: `stats --watch`, `top`."""

import signal

import pytest

from lib.admin import start_admin
from lib.larder import run_cli
from lib.origin import answer
from lib.terminal import Terminal

CONF = """
upstream main %ORIGIN%
route GET /a { upstream main; scope public; key a; ttl 60s }
"""
TAKE, GIVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
WATCH = ("stats", "--watch", "--interval", "100ms")


def test_watch_until_ctrl_c(larder, origin):
    origin.route("/a", answer(200, b"hello"))
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    with Terminal(*WATCH, "-c", proxy.conf_path) as t:
        t.wait_for("requests/s")
        for _ in range(3):
            proxy.get("/a")
        t.wait_for("hits 2")
        t.type("\x03")
        assert t.wait() == 0
        assert t.text.startswith(TAKE) and t.text.count(TAKE) == 1
        assert t.text.endswith(GIVE) and t.text.count(GIVE) == 1


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_given_back_however_it_ends(larder, origin, sig):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    with Terminal(*WATCH, "-c", proxy.conf_path) as t:
        t.wait_for("requests/s")
        t.process.send_signal(sig)
        assert t.wait() == 0
        assert t.text.endswith(GIVE)


def test_watch_survives_a_restart(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    with Terminal(*WATCH, "-c", proxy.conf_path) as t:
        seen = t.wait_for("requests/s")
        assert proxy.stop() == 0
        seen = t.wait_for("(trying again)", seen)
        start_again = {k: proxy.values[k] for k in ("port", "admin_port", "origin")}
        larder(open(proxy.conf_path).read(), **start_again)
        t.wait_for("requests/s", seen)
        t.type("\x03")
        assert t.wait() == 0


def test_lines_are_cut_at_the_edge(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    with Terminal(*WATCH, "-c", proxy.conf_path, rows=4, columns=30) as t:
        t.wait_for("\x1b[J")
        t.wait_for("\x1b[J", len(t.text))
        t.type("\x03")
        assert t.wait() == 0
        for screen in t.text.split("\x1b[H")[1:]:
            lines = screen.split("\x1b[J")[0].replace("\x1b[K", "").split("\r\n")
            assert len(lines) <= 4 and all(len(line) <= 29 for line in lines), lines


@pytest.mark.parametrize("args", [WATCH])
def test_once_without_a_terminal(larder, origin, args):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    r = run_cli(*args, "-c", proxy.conf_path)
    assert r.returncode == 0 and "\x1b" not in r.stdout and r.stdout.count("requests") >= 1


def test_it_fails_at_once_when_nobody_is_there(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    assert proxy.stop() == 0
    with Terminal(*WATCH, "-c", proxy.conf_path) as t:
        assert t.wait() == 3
        assert "nothing listens" in t.text and TAKE not in t.text


def test_a_dumb_terminal_gets_no_codes(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    with Terminal(*WATCH, "-c", proxy.conf_path, env={"TERM": "dumb"}) as t:
        assert t.wait() == 0
        assert "\x1b" not in t.text and "requests" in t.text
