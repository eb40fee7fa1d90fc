"""Commands beside what real proxies go through: warming up, ending, Redis away, a node that
lags, restarts, pipes that close, Ctrl-C and Ctrl-Z."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from lib.admin import Admin, TOKEN, start_admin
from lib.larder import binary, run_cli
from lib.nodes import start_node, times_up
from lib.origin import Wait, answer
from lib.ports import free_port
from lib.terminal import Terminal
from lib.wait import eventually

CONF = """
workers 2
upstream main %ORIGIN%
defaults { upstream main; ttl 60s }
route GET /a/{id} { scope public; key a:{id} }
"""
GIVE = "\x1b[?25h\x1b[?1049l"


def cli(command, proxy, *args):
    return run_cli(command, "-c", proxy.conf_path, *args)


# ---- larder health


def test_health_of_one_that_warms_up(larder, origin):
    """Until what is fetched on a schedule has come for the first time."""
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"x")])
    try:
        proxy, _ = start_admin(larder, "hosts localhost\n" + CONF +
                               "route GET /slow { scope public; refresh 1h }\n",
                               origin=origin.url)
        r = cli("health", proxy)
        assert (r.returncode, r.stderr) == (1, "") and r.stdout.startswith("WARMING since "), r
        assert "refresh: running" in r.stdout
        assert json.loads(cli("health", proxy, "--json").stdout)["status"] == "WARMING"
        assert cli("health", proxy, "--quiet").returncode == 1
    finally:
        go.set()
    eventually(lambda: cli("health", proxy).returncode == 0, 15, "it is warm")


def test_health_of_one_that_ends(larder, origin):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"finished")])
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/slow")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: cli("health", proxy).stdout.startswith("DOWN since "), 15)
        r = cli("health", proxy)
        assert (r.returncode, r.stderr) == (1, "")
        r = cli("health", proxy, "--json")
        assert r.returncode == 1 and json.loads(r.stdout)["status"] == "DOWN"
        go.set()
        assert c.read_response().body == b"finished"
    assert proxy.wait(30) == 0
    assert cli("health", proxy).returncode == 3


def test_health_with_something_wrong(larder, origin):
    proxy, _ = start_admin(larder, CONF.replace("%ORIGIN%", "%ORIGIN% max_fails=1 fail_timeout=1h"),
                           origin=f"http://127.0.0.1:{free_port()}")
    assert proxy.get("/x").status == 502
    r = cli("health", proxy)
    assert r.returncode == 0 and r.stdout.startswith("DEGRADED since ")
    assert "upstream: main: every server is down (since " in r.stdout
    assert cli("health", proxy, "--strict").returncode == 1


# ---- larder clear


@pytest.fixture
def pair(larder, redis, origin):
    nodes = []
    for _ in range(2):
        conf = f"admin 127.0.0.1:%ADMIN_PORT% token={TOKEN}\nredis %REDIS% prefix=s budget=2s\n"
        node = start_node(larder, redis, conf + CONF, prefix="s", origin=origin.url,
                          admin_port=free_port())
        eventually(lambda: times_up(node) == 1, 15)
        eventually(Admin(node.values["admin_port"]).accepts, 15)
        nodes.append(node)
    return nodes


def test_clear_waits_for_every_node(pair):
    a, b = pair
    for _ in range(2):
        b.get("/a/1")
    r = cli("clear", a, "a:*", "--wait")
    assert (r.returncode, r.stderr) == (0, "") and r.stdout.rstrip().endswith("nodes 2"), r
    assert "journal position " in r.stdout and b.get("/a/1").x_cache == "MISS"
    said = json.loads(cli("clear", a, "a:*", "--wait", "--json").stdout)
    assert said["applied"] == {"here": True, "nodes": 2, "waiting": 0}


def test_clear_while_a_node_stands_still(pair):
    """Without --wait it does not matter; with it, patience ends or the node is given up."""
    a, b = pair
    b.signal(signal.SIGSTOP)
    try:
        r = cli("clear", a, "a:*")
        assert r.returncode == 0 and r.stdout.startswith("cleared a:*, journal position ")
        r = cli("clear", a, "a:*", "--wait", "--timeout", "300ms")
        assert r.returncode == 3 and "did not answer within 300ms" in r.stderr
        r = cli("clear", a, "a:*", "--wait")
        assert (r.returncode, r.stderr) == (0, "") and "nodes" not in r.stdout
    finally:
        b.signal(signal.SIGCONT)


@pytest.mark.parametrize("waiting,said", [(1, "1 of 2 nodes have not confirmed it yet"),
                                          (None, "it is not known yet whether every node has it")])
def test_clear_of_what_lags(waiting, said):
    """As a plane answers whose node lives but does not confirm: by the shape of its answer."""
    body = json.dumps({"success": True, "cleared": "a:*", "position": "7", "epoch": "1",
                       "count": None, "pending": True,
                       "applied": {"here": True, "nodes": 2, "waiting": waiting}}).encode()
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            c, _ = server.accept()
            c.recv(4096)
            c.sendall(answer(202, body, {"Content-Type": "application/json"}))
            c.close()
        t = threading.Thread(target=serve, daemon=True)
        t.start()
        r = run_cli("clear", "a:*", "--wait", "--admin", f"127.0.0.1:{server.getsockname()[1]}")
        t.join(15)
    assert r.returncode == 1 and r.stderr == f"larder: {said}\n"
    assert r.stdout == "cleared a:*, journal position 7\n"


def test_clear_while_redis_is_away(pair, redis):
    a, _ = pair
    for _ in range(2):
        a.get("/a/1")
    redis.stop()
    eventually(lambda: "not following" in a.stderr(), 15)
    for args, code in (((), 0), (("--wait",), 1)):
        r = cli("clear", a, "a:*", *args)
        assert r.returncode == code and r.stdout == "cleared a:*\n", r
        assert r.stderr == ("larder: Redis is away: cleared on this node; the others follow when "
                            "it is back\n")
        r = cli("clear", a, "a:*", "--json", *args)
        assert r.returncode == code and json.loads(r.stdout)["pending"] is True
    assert a.get("/a/1").x_cache == "MISS"


# ---- larder log


def follow(proxy):
    return subprocess.Popen([binary(), "log", "-f", "--json", "-c", proxy.conf_path],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            stdin=subprocess.DEVNULL, env={**os.environ, "LARDER_TOKEN": ""})


def again(larder, proxy):
    """Another process at the same addresses."""
    values = {k: proxy.values[k] for k in ("port", "admin_port", "origin")}
    return larder(open(proxy.conf_path).read(), **values)


def test_log_after_a_restart_that_it_did_not_see(larder, origin):
    """The new process has had more requests than the old one; its log stands still meanwhile."""
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    proxy.get("/a/old")
    p = follow(proxy)
    try:
        assert json.loads(p.stdout.readline())["path"] == "/a/old"
        p.send_signal(signal.SIGSTOP)
        assert proxy.stop() == 0
        new = again(larder, proxy)
        eventually(Admin(new.values["admin_port"]).accepts, 15)
        wanted = [f"/a/{n}" for n in range(20)]
        for path in wanted:
            new.get(path)
        p.send_signal(signal.SIGCONT)
        assert sorted(json.loads(p.stdout.readline())["path"] for _ in wanted) == sorted(wanted)
        new.get("/a/last")
        assert json.loads(p.stdout.readline())["path"] == "/a/last"
        p.terminate()
        assert p.wait(15) == 0
        said = p.stderr.read()
        assert said.count("it was restarted") == 1, said
        assert p.stdout.read() == ""
    finally:
        p.kill()
        p.wait()


# ---- the end


@pytest.mark.parametrize("args", [("log", "-f"), ("log", "-f", "--json")])
def test_a_pipe_that_closes_is_quiet(larder, origin, args):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    proxy.get("/a/1")
    p = subprocess.Popen([binary(), *args, "-c", proxy.conf_path], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                         env={**os.environ, "LARDER_TOKEN": ""})
    try:
        assert "/a/1" in p.stdout.readline()
        p.stdout.close()
        eventually(lambda: proxy.get("/a/1") and p.poll() is not None, 15, "it ends")
        assert p.returncode in (-signal.SIGPIPE, 0) and p.stderr.read() == ""
    finally:
        p.kill()
        p.wait()


def test_head_of_a_long_listing(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    for n in range(400):
        proxy.get("/a/" + "x" * 200 + str(n))
    for restored in (True, False):  # SIGPIPE as usual, and ignored as some parents leave it
        shell = f"'{binary()}' keys -c '{proxy.conf_path}' | head -n 1"
        r = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60,
                           restore_signals=restored, env={**os.environ, "LARDER_TOKEN": ""})
        assert r.stdout.startswith("NAME ") and r.stderr == "", r


@pytest.mark.parametrize("args", [("top",), ("stats", "--watch"), ("log",)])
def test_ctrl_c_leaves_the_terminal_in_order(larder, origin, args):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    proxy.get("/a/1")
    with Terminal(*args, "-c", proxy.conf_path) as t:
        t.wait_for("/a/{id}")
        t.type("\x03")
        assert t.wait() == 0
        assert args == ("log",) or t.text.endswith(GIVE)


@pytest.mark.parametrize("args", [("top", "-i", "100ms"), ("log",)])
def test_ctrl_z_gives_the_terminal_to_the_shell(larder, origin, args):
    """And takes it again when it is continued."""
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    proxy.get("/a/1")

    def state():
        with open(f"/proc/{t.process.pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    with Terminal(*args, "-c", proxy.conf_path) as t:
        t.wait_for("/a/{id}")
        # Before it looks for signals, one is lost: its process group has no parent's shell.
        eventually(lambda: t.process.send_signal(signal.SIGTSTP) or (
            t.read(0.01) and state() == "T"), 15, "it is stopped")
        while not t.text.endswith(GIVE) and args[0] == "top":
            assert t.read(5)
        seen = len(t.text)
        t.process.send_signal(signal.SIGCONT)
        proxy.get("/a/later")
        t.wait_for("\x1b[?1049h" if args[0] == "top" else "/a/later", seen)
        t.type("\x03")
        assert t.wait() == 0
