"""Commands and the admin plane: how they find it, and what they say when it does not answer."""

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


def test_the_data_port_is_no_admin_plane(larder):
    """Its own errors are JSON problems, too."""
    proxy = larder("upstream main http://127.0.0.1:1\ndefaults { upstream main }\nroute GET /a { ttl 1m; scope public }\n")
    r = cli("stats", "--admin", f"127.0.0.1:{proxy.port}")
    assert r.returncode == 3, r
    assert "not an admin plane (it is larder's data port)" in r.stderr
