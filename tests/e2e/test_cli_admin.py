"""Commands and the admin plane: how they find it, and what they say when it does not answer."""

import json
import socket
import threading

import pytest

from lib.admin import TOKEN, start_admin
from lib.larder import run_cli
from lib.origin import answer
from lib.ports import free_port
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET /a { upstream main; scope public; key a; ttl 60s }
"""
CLEAN = {"LARDER_TOKEN": "", "TERM": "xterm"}


def cli(*args, **kw):
    return run_cli(*args, env={**CLEAN, **kw.pop("env", {})}, **kw)


@pytest.fixture
def running(larder, origin):
    origin.route("/a", answer(200, b"hello"))
    return start_admin(larder, CONF, origin=origin.url)


def test_address_and_token_of_the_configuration(running):
    proxy, _ = running
    r = cli("stats", "-c", proxy.conf_path)
    assert r.returncode == 0, r.stderr
    assert "requests" in r.stdout and "\x1b" not in r.stdout and r.stderr == ""


def test_address_and_token_given(running, tmp_path):
    _, admin = running
    (tmp_path / "token").write_text(TOKEN + "\n")
    at = ("stats", "--admin", f"127.0.0.1:{admin.port}")
    assert cli(*at, "--token-file", tmp_path / "token").returncode == 0
    assert cli(*at, env={"LARDER_TOKEN": TOKEN}).returncode == 0
    assert cli("stats", "--admin", f"http://localhost:{admin.port}/",
               env={"LARDER_TOKEN": TOKEN}).returncode == 0
    # What is in a file counts more than the environment.
    r = cli(*at, "--token-file", tmp_path / "token", env={"LARDER_TOKEN": "wrong"})
    assert r.returncode == 0


def test_the_token_of_a_file_is_not_sent_elsewhere(running, origin):
    proxy, _ = running
    origin.route("/stats", answer(401, b"{}"))
    r = cli("stats", "-c", proxy.conf_path, "--admin", f"127.0.0.1:{origin.port}")
    assert r.returncode == 3 and "wants a token" in r.stderr
    assert TOKEN.encode() not in origin.seen()[-1].raw


def test_wrong_token(running):
    _, admin = running
    at = ("stats", "--admin", f"127.0.0.1:{admin.port}")
    r = cli(*at)
    assert r.returncode == 3 and "wants a token" in r.stderr and r.stdout == ""
    r = cli(*at, env={"LARDER_TOKEN": "x" * 32})
    assert r.returncode == 3 and "refused the token" in r.stderr


@pytest.mark.parametrize("token", ["a b", "a\nb", "\x01"])
def test_a_token_that_cannot_be_sent(running, tmp_path, token):
    _, admin = running
    (tmp_path / "token").write_text(token)
    r = cli("stats", "--admin", f"127.0.0.1:{admin.port}", "--token-file", tmp_path / "token")
    assert r.returncode == 1 and "token" in r.stderr


def test_missing_and_empty_token_files(tmp_path):
    (tmp_path / "empty").write_text("\n")
    for name in ("absent", "empty"):
        r = cli("stats", "--admin", "127.0.0.1:1", "--token-file", tmp_path / name)
        assert r.returncode == 1 and name in r.stderr


def test_nobody_listens(tmp_path):
    port = free_port()
    r = cli("stats", "--admin", f"127.0.0.1:{port}")
    assert r.returncode == 3 and f"nothing listens on 127.0.0.1:{port}" in r.stderr
    assert len(r.stderr.splitlines()) == 1
    r = cli("stats", "--admin", f"unix:{tmp_path}/admin.sock")
    assert r.returncode == 3 and "there is no socket" in r.stderr


def test_the_data_port_is_not_the_admin_plane(running, origin):
    proxy, _ = running
    for body in (b"<html>", b'{"data":1}'):
        origin.route("/stats", answer(200, body))
        r = cli("stats", "--admin", f"127.0.0.1:{proxy.port}")
        assert r.returncode == 3 and "not an admin plane" in r.stderr, r.stderr


def test_what_is_no_http(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            c, _ = server.accept()
            c.recv(4096)
            c.sendall(b"SSH-2.0-OpenSSH\r\n")
            c.close()
        t = threading.Thread(target=serve, daemon=True)
        t.start()
        r = cli("stats", "--admin", f"127.0.0.1:{server.getsockname()[1]}")
        t.join(15)
    assert r.returncode == 3 and len(r.stderr.splitlines()) == 1
    assert "HTTP" in r.stderr


def test_no_answer_in_time():
    with socket.create_server(("127.0.0.1", 0)) as server:
        r = cli("stats", "--admin", f"127.0.0.1:{server.getsockname()[1]}", "--timeout", "200ms")
    assert r.returncode == 3 and "did not answer within 200ms" in r.stderr
    assert "--timeout" in r.stderr


def test_a_name_that_is_not_the_planes(running):
    _, admin = running
    # libcurl takes every name below localhost for this machine.
    r = cli("stats", "--admin", f"rebound.localhost:{admin.port}", env={"LARDER_TOKEN": TOKEN})
    assert r.returncode == 3 and "does not go by this name" in r.stderr, r.stderr


def test_a_file_without_admin(tmp_path):
    conf = tmp_path / "proxy.conf"
    conf.write_text("upstream main http://127.0.0.1:9\n")
    r = cli("stats", "-c", conf)
    assert r.returncode == 1 and "has no `admin`" in r.stderr
    conf.write_text("nonsense\n")
    r = cli("stats", "-c", conf)
    assert r.returncode == 1 and "--admin" in r.stderr


@pytest.mark.parametrize("args", [("--admin", "nowhere"), ("--admin", "http://"),
                                  ("--timeout", "soon"), ("--timeout", "0s"),
                                  ("--interval", "1ms", "--watch")])
def test_wrong_values(args):
    r = cli("stats", *args)
    assert r.returncode == 2 and len(r.stderr.splitlines()) == 1 and r.stdout == ""


def test_a_unix_socket(larder, origin):
    proxy = larder("admin unix:%DIR%/admin.sock\n" + CONF, origin=origin.url)
    eventually(lambda: cli("stats", "-c", proxy.conf_path).returncode == 0, 15)
    assert cli("stats", "--admin", f"unix:{proxy.folder}/admin.sock").returncode == 0


# What each command that asks needs so that its arguments are right.
ASKING = [("stats",), ("top",), ("keys",), ("keys", "--show", "a"), ("clear", "a"), ("refresh",),
          ("refresh", "/a"), ("routes",), ("health",), ("log",), ("reload",), ("explain", "/a")]
ERRORS = [
    {"error": "not found"}, {"detail": "Not Found"}, {"title": "Not Found", "status": 404},
    {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no", "traceId": "7"},
    {"type": "https://errors.test/1", "title": "Not Found", "status": 404, "detail": "no"},
    {"type": "about:blank", "title": "Not Found", "status": 400, "detail": "no"}, [], "no", None]


def test_an_api_is_no_admin_plane(origin):
    """Whose errors are JSON, and may even be called problems: each command, each error."""
    def said(command):
        r = cli(*command, "--admin", f"127.0.0.1:{origin.port}")
        assert r.returncode == 3 and r.stdout == "", (command, r)
        assert "is not an admin plane" in r.stderr and len(r.stderr.splitlines()) == 1, (command, r)
        return r.stderr
    for status in (404, 403, 422, 500):
        for error in ERRORS:
            origin.default = answer(status, json.dumps(error).encode(),
                                    {"Content-Type": "application/json"})
            assert "its error is not one of larder's" in said(("stats",))
    origin.default = answer(422, b'{"detail":[{"loc":["query","n"],"msg":"bad"}],"errors":"no"}')
    for command in ASKING:
        said(command)
    origin.default = answer(200, b'{"data":1}')
    for command in ASKING:
        assert "a member is missing" in said(command)


def test_the_data_port_is_no_admin_plane(larder):
    """Its own errors are JSON problems, too."""
    proxy = larder("upstream main http://127.0.0.1:1\ndefaults { upstream main }\nroute GET /a { ttl 1m; scope public }\n")
    r = cli("stats", "--admin", f"127.0.0.1:{proxy.port}")
    assert r.returncode == 3, r
    assert "not an admin plane (it is larder's data port)" in r.stderr


# ---- larder reload, when the file names another plane than the one that runs


def edit(proxy, old, new):
    """Changes the file that the proxy has read."""
    with open(proxy.conf_path, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    with open(proxy.conf_path, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))


def test_reload_to_an_address_where_nobody_listens_yet(running):
    proxy, admin = running
    port = free_port()
    edit(proxy, f"127.0.0.1:{admin.port}", f"127.0.0.1:{port}")
    r = cli("reload", "-c", proxy.conf_path)
    assert r.returncode == 3 and r.stdout == "" and len(r.stderr.splitlines()) == 1, r
    assert f"nothing listens on 127.0.0.1:{port}" in r.stderr
    assert "ask the old address with --admin ADDRESS" in r.stderr and "SIGHUP" in r.stderr
    r = cli("reload", "--admin", f"127.0.0.1:{admin.port}", env={"LARDER_TOKEN": TOKEN})
    assert r.returncode == 0 and r.stderr == "", r  # as it was told
    eventually(lambda: cli("reload", "-c", proxy.conf_path).returncode == 0, 15, "it has moved")
    r = cli("reload", "--admin", f"127.0.0.1:{free_port()}")
    assert r.returncode == 3 and "old address" not in r.stderr, r  # it was given by hand


def test_reload_with_another_token(running):
    proxy, _ = running
    new = "n" * 32
    edit(proxy, TOKEN, new)
    r = cli("reload", "-c", proxy.conf_path)
    assert r.returncode == 3 and r.stdout == "" and len(r.stderr.splitlines()) == 1, r
    assert "refused the token" in r.stderr and "give the old one" in r.stderr
    r = cli("reload", "-c", proxy.conf_path, env={"LARDER_TOKEN": TOKEN})
    assert r.returncode == 0 and r.stderr == "", r
    assert cli("reload", "-c", proxy.conf_path).returncode == 0


@pytest.mark.parametrize("why", ["refused the token", "nothing listens", "not an admin plane"])
def test_reload_says_why_it_goes_by_the_pid_file(larder, origin, why):
    proxy, admin = start_admin(larder, "pid_file %DIR%/larder.pid\n" + CONF, origin=origin.url)
    eventually(lambda: cli("health", "-c", proxy.conf_path).returncode == 0, 15, "it is ready")
    origin.route("/reload", answer(404, b'{"error":"not found"}'))
    if why == "refused the token":
        edit(proxy, TOKEN, "n" * 32)
    else:
        port = origin.port if why == "not an admin plane" else free_port()
        edit(proxy, f"admin 127.0.0.1:{admin.port}", f"admin 127.0.0.1:{port}")
    r = cli("reload", "-c", proxy.conf_path)
    assert why in r.stderr and len(r.stderr.splitlines()) == 1, r
    assert f"going by the pid file {proxy.folder}/larder.pid instead" in r.stderr
    assert r.returncode == 0 and f"process {proxy.pid}" in r.stdout
    eventually(lambda: "reload done" in proxy.stderr() or "reload refused" in proxy.stderr(), 15)
