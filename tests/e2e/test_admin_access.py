"""Who may use the admin plane, and what it does with what it does not understand."""

import os
import re
import socket
import stat

import pytest

from lib.admin import TOKEN, Admin, is_problem, start_admin
from lib.larder import run_cli
from lib.ports import free_port
from lib.raw import RawClient
from lib.wait import eventually

CONF = """
upstream main http://127.0.0.1:1
defaults { upstream main }
type thing { ttl 1m }
route GET /a { scope public; type thing }
"""


@pytest.fixture
def plane(larder):
    return start_admin(larder, CONF)[1]


WRONG = {
    "none": [],
    "empty": [("Authorization", "")],
    "scheme only": [("Authorization", "Bearer")],
    "empty token": [("Authorization", "Bearer ")],
    "basic": [("Authorization", f"Basic {TOKEN}")],
    "no scheme": [("Authorization", TOKEN)],
    "shorter": [("Authorization", f"Bearer {TOKEN[:-1]}")],
    "longer": [("Authorization", f"Bearer {TOKEN}0")],
    "other case": [("Authorization", f"Bearer {TOKEN.upper()}")],
    "list": [("Authorization", f"Bearer x, Bearer {TOKEN}")],
    "inner space": [("Authorization", f"Bearer {TOKEN[:8]} {TOKEN[8:]}")],
    "underscore": [("Author_ization", f"Bearer {TOKEN}")],
    "cookie": [("Cookie", f"token={TOKEN}; Authorization=Bearer {TOKEN}")],
    "proxy": [("Proxy-Authorization", f"Bearer {TOKEN}")],
    "forwarded": [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")],
    "override": [("X-HTTP-Method-Override", "GET"), ("X-Original-URL", "/livez")],
    "rewrite": [("X-Rewrite-URL", "/livez")],
}
# Refused before anybody looks for a token.
MALFORMED = {
    "twice": [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")],
}
TARGETS = [("GET", "/stats"), ("GET", "/config"), ("POST", "/clear-all"), ("DELETE", "/cache?all=yes"),
           ("POST", "/api/cache/invalidate/thing"), ("GET", "/nowhere"), ("PUT", "/livez"),
           ("GET", "//livez"), ("GET", "/livez/"), ("GET", "/livez/../config"), ("GET", "/%6civez"),
           ("GET", "/livez%00"), ("POST", "/livez"), ("HEAD", "/config"), ("OPTIONS", "/config")]


def test_without_the_token_nothing_is_told(plane):
    with RawClient(plane.port) as c:
        for how, headers in WRONG.items():
            for method, target in TARGETS:
                r = c.request(method, target, headers)
                if method != "HEAD":
                    is_problem(r, 401)
                assert r.status == 401, (how, method, target)
                assert r.header("www-authenticate").startswith("Bearer")


def test_tokens_in_a_malformed_head_are_none(plane):
    for headers in MALFORMED.values():
        for method, target in TARGETS:
            with RawClient(plane.port) as c:
                r = c.request(method, target, headers)
                assert r.status == 400 and c.closed(), (method, target)


def test_a_token_in_the_query_is_none(plane):
    for target in (f"/config?token={TOKEN}", f"/config?access_token={TOKEN}"):
        is_problem(plane.get(target, token=False), 401)


def test_the_scheme_is_read_in_any_case(plane):
    r = plane.get("/nowhere", token=False, headers=[("Authorization", f"bEARER  {TOKEN} ")])
    is_problem(r, 404)


def test_livez_needs_no_token(plane):
    r = plane.get("/livez", token=False)
    assert (r.status, r.body) == (200, b"ok\n")
    assert r.header("cache-control") == "no-store"
    assert plane.get("/livez", token="wrong").status == 200


def test_head_has_the_length_and_no_body(plane):
    with RawClient(plane.port) as c:
        r = c.request("HEAD", "/livez")
        assert (r.status, r.body, r.header("content-length")) == (200, b"", "3")
        assert c.request("GET", "/livez").body == b"ok\n"


def test_wrong_methods(plane):
    for method, target, allow in (("POST", "/livez", "GET, HEAD"), ("GET", "/clear-all", "POST"),
                                  ("PATCH", "/cache", "DELETE"), ("PUT", "/invalidate/thing", "POST"),
                                  ("OPTIONS", "/clear-all", "POST"), ("TRACE", "/livez", "GET, HEAD")):
        r = plane.request(method, target)
        is_problem(r, 405)
        assert r.header("allow") == allow
        assert r.header("access-control-allow-origin") is None


HOSTS = [
    ("127.0.0.1", True), ("127.0.0.1:%d", True), ("localhost:%d", True), ("LOCALHOST", True),
    ("[::1]:80", True), ("127.9.9.9", True),
    ("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
    ("127.evil.example", False), ("192.0.2.1", False), ("10.0.0.1:%d", False), ("", False),
    ("localhost@evil.example", False), ("0.0.0.0", False), ("[::]", False), ("2130706433", False),
    ("evil.example/localhost", False), ("localhost evil.example", False),
]


def test_names_that_are_rebound(plane):
    for host, good in HOSTS:
        for target in ("/livez", "/nowhere"):
            r = plane.get(target, host=host.replace("%d", str(plane.port)))
            if good:
                assert r.status == (200 if target == "/livez" else 404), host
            else:
                is_problem(r, 421)


def test_without_host_and_with_two(plane):
    with RawClient(plane.port) as c:
        c.send(b"GET /livez HTTP/1.0\r\n\r\n")
        is_problem(c.read_response(), 421)
    with RawClient(plane.port) as c:
        c.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        is_problem(c.read_response(), 400)


ORIGINS = {
    "no origin": ([], 200),
    "own": ([("Origin", "http://localhost:1234")], 200),
    "own, fetch": ([("Origin", "http://localhost:1234"), ("Sec-Fetch-Site", "same-origin")], 200),
    "address bar": ([("Sec-Fetch-Site", "none")], 200),
    "other": ([("Origin", "http://evil.example")], 403),
    "other port": ([("Origin", "http://localhost:1235")], 403),
    "other scheme": ([("Origin", "https://localhost:1234")], 403),
    "null": ([("Origin", "null")], 403),
    "empty": ([("Origin", "")], 403),
    "cross-site": ([("Sec-Fetch-Site", "cross-site")], 403),
    "same-site": ([("Sec-Fetch-Site", "same-site")], 403),
    "twice": ([("Origin", "http://localhost:1234"), ("Origin", "http://localhost:1234")], 403),
    "prefix": ([("Origin", "http://localhost:1234.evil.example")], 403),
}


def test_changes_asked_for_by_other_sites(plane):
    for case, (headers, status) in ORIGINS.items():
        for method, target in (("POST", "/clear-all"), ("DELETE", "/api/cache"),
                               ("POST", "/invalidate/thing")):
            r = plane.request(method, target, headers=headers, host="localhost:1234")
            assert r.status == status, (case, r)
        assert plane.get("/livez", headers=headers, host="localhost:1234").status == 200


FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
         "text/plain; application/json", "application/jsonp", "application/json, text/plain"]


def test_bodies_that_a_form_can_send(plane):
    for content_type in FORMS:
        r = plane.post("/invalidate-pattern", b'{"pattern":"*"}',
                       headers=[("Content-Type", content_type)])
        is_problem(r, 415)


def test_json_with_a_charset_is_json(plane):
    r = plane.post("/invalidate-pattern", b'{"pattern":"a:*"}',
                   headers=[("Content-Type", "application/JSON; charset=utf-8")])
    assert r.status == 200
    is_problem(plane.post("/invalidate-pattern", b'{"pattern":"a:*"}',
                          headers=[("Content-Type", "application/json"),
                                   ("Content-Encoding", "gzip")]), 415)


def test_parameters_that_are_not_meant(plane):
    for query in ("patern=x:*", "pattern", "pattern=", "=x", "pattern=a&pattern=b",
                  "pattern=a&Pattern=b", "pattern=%zz", "pattern=a%00b", "pattern=a&x=1",
                  "all=yes&pattern=a", "pattern=a&tag=b", "all=1", "all=YES", "wait=one&all=yes",
                  "soft=yes&all=yes", "&".join(f"x{i}=1" for i in range(50)), ""):
        is_problem(plane.delete(f"/cache?{query}"), 400)
    is_problem(plane.get("/livez?x=1"), 400)
    is_problem(plane.delete("/cache"), 400)


def test_targets_that_are_no_paths(plane):
    for target in ("livez", "http://localhost/livez", "/livez#x", "*"):
        with RawClient(plane.port) as c:
            c.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
                   f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
            assert c.read_response().status == 400, target


def test_bodies_that_are_too_large(plane):
    fits = b'{"pattern":"' + b"a" * 500 + b'"}'
    assert plane.post("/invalidate-pattern", fits).status == 200
    is_problem(plane.post("/invalidate-pattern", b'{"pattern":"' + b"a" * 600 + b'"}'), 400)
    is_problem(plane.post("/invalidate-pattern", b'{"pattern":"' + b"a" * 5000 + b'"}'), 413)
    is_problem(plane.request("GET", "/livez", b"{}"), 400)
    is_problem(plane.post("/invalidate-pattern", b"a" * 1000000), 413)
    assert plane.get("/livez").status == 200


def test_changes_are_in_the_audit_log_and_tokens_are_not(larder):
    proxy, plane = start_admin(larder, CONF)
    plane.post("/invalidate-pattern", {"pattern": "a:*"})
    plane.post("/clear-all", headers=[("Origin", "http://evil.example")])
    plane.delete("/cache?all=yes")
    plane.get("/livez", token="a-wrong-token-that-is-long")
    plane.get("/nowhere", token="a-wrong-token-that-is-long")
    log = proxy.stderr()
    assert re.search(r"audit: 127\.0\.0\.1 POST /invalidate-pattern 200 cleared a:\*$", log, re.M)
    assert re.search(r"audit: 127\.0\.0\.1 POST /clear-all 403$", log, re.M)
    assert re.search(r"audit: 127\.0\.0\.1 DELETE /cache 200 cleared all$", log, re.M)
    assert "wrong token from 127.0.0.1" in log
    assert TOKEN not in log and "a-wrong-token" not in log
    assert "/livez" not in log


def test_an_open_address_needs_a_token(tmp_path):
    path = tmp_path / "x.conf"
    for address in ("0.0.0.0:9090", "*:9090", "192.0.2.1:9090", "[::]:9090", "9090"):
        path.write_text(f"admin {address}\nupstream m http://127.0.0.1:1\n")
        r = run_cli("check", "-c", path)
        assert r.returncode != 0 and "needs token=SECRET" in r.stdout + r.stderr, address
        path.write_text(f"admin {address} token={TOKEN}\nupstream m http://127.0.0.1:1\n")
        assert run_cli("check", "-c", path).returncode == 0, address
    for address in ("127.0.0.1:9090", "[::1]:9090", "unix:/run/x.sock", "localhost:9090"):
        path.write_text(f"admin {address} token=${{NOT_SET:-}}\nupstream m http://127.0.0.1:1\n")
        assert run_cli("check", "-c", path).returncode == 0, address


def unix_request(path, method, target, headers=()):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(15)
        s.connect(path)
        lines = [f"{method} {target} HTTP/1.1", "Host: whatever.example", "Connection: close",
                 *(f"{k}: {v}" for k, v in headers)]
        s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        data = b""
        while chunk := s.recv(65536):
            data += chunk
    return int(data.split()[1]), data


def test_a_unix_socket(larder, tmp_path):
    path = str(tmp_path / "admin.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)  # left behind by a process that has died
    stale.close()
    proxy = larder(f"admin unix:{path}\n" + CONF)
    eventually(lambda: "admin on unix:" in proxy.stderr(), 15)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert unix_request(path, "GET", "/livez")[0] == 200
    assert unix_request(path, "POST", "/clear-all")[0] == 200
    assert f"audit: uid {os.getuid()} POST /clear-all 200" in proxy.stderr()
    proxy.stop()
    assert not os.path.exists(path)


def test_a_socket_that_somebody_listens_on_stays(larder, tmp_path):
    path = str(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        proxy = larder(f"admin unix:{path}\n" + CONF, wait=False)
        eventually(lambda: not proxy.alive(), 15)
        assert "address in use" in proxy.stderr()
        assert os.path.exists(path)
        proxy.kill()


def test_reload_changes_token_and_address(larder):
    proxy, plane = start_admin(larder, CONF)
    with RawClient(plane.port) as kept:
        assert kept.request("GET", "/livez").status == 200
        other = TOKEN[::-1]
        proxy.reload(f"admin 127.0.0.1:%ADMIN_PORT% token={other}\n" + CONF, wait="reload done")
        is_problem(plane.get("/nowhere"), 401)
        is_problem(plane.get("/nowhere", token=other), 404)
        assert kept.request("GET", "/livez").status == 200
    moved = Admin(free_port())
    proxy.reload(f"admin 127.0.0.1:{moved.port} token={TOKEN}\n" + CONF, wait="reload done")
    is_problem(moved.get("/nowhere"), 404)
    with pytest.raises(OSError):
        plane.get("/livez")
    proxy.reload(CONF, wait="reload done")
    with pytest.raises(OSError):
        moved.get("/livez")


@pytest.mark.parametrize("way", ["TCP to TCP", "TCP to Unix", "Unix to TCP", "to nowhere"])
def test_a_reload_that_moves_the_plane_is_answered(larder, tmp_path, way):
    """In full, on the connection that asked, which ends with it; what is under way there too."""
    port, other, path = free_port(), free_port(), str(tmp_path / "a.sock")
    old = f"unix:{path}" if way == "Unix to TCP" else f"127.0.0.1:{port}"
    new = f"unix:{path}" if way == "TCP to Unix" else f"127.0.0.1:{other}"
    proxy = larder(f"admin {old} token={TOKEN}\n" + CONF)
    eventually(lambda: "admin on " in proxy.stderr(), 15)

    def dial(address):
        return RawClient(0, unix=path) if address.startswith("unix:") else \
            RawClient(int(address.rpartition(":")[2]))
    auth = [("Authorization", f"Bearer {TOKEN}")]
    proxy.write_conf(CONF if way == "to nowhere" else f"admin {new} token={TOKEN}\n" + CONF)
    with dial(old) as asking, dial(old) as halfway, dial(old) as idle:
        assert idle.get("/livez").status == 200
        halfway.send(b"GET /livez HTTP/1.1\r\n")
        assert idle.get("/livez").status == 200  # so that the plane has seen the half
        r = asking.request("POST", "/reload", auth)
        assert (r.status, r.json()["status"], r.header("connection")) == (200, "reloaded", "close")
        assert asking.closed()
        halfway.send(b"Host: localhost\r\n\r\n")
        r = halfway.read_response()
        assert (r.status, r.body, r.header("connection")) == (200, b"ok\n", "close")
        assert idle.closed()
    with pytest.raises(OSError):
        dial(old)
    if way != "to nowhere":
        with dial(new) as c:
            is_problem(c.request("GET", "/nowhere", auth), 404)


@pytest.mark.parametrize("conf", ["", "admin 127.0.0.1:%OTHER%\n"])
def test_an_address_that_is_given_up_keeps_asking_for_a_token(larder, conf):
    """What had begun to arrive there is answered, but not because the new file has no token."""
    proxy, plane = start_admin(larder, CONF, other=free_port())
    with RawClient(plane.port) as halfway, RawClient(plane.port) as idle:
        halfway.send(b"POST /clear-all HTTP/1.1\r\n")
        assert idle.get("/livez").status == 200  # so that the plane has seen the half
        proxy.reload(conf + CONF, wait="reload done")
        halfway.send(b"Host: localhost\r\n\r\n")
        is_problem(halfway.read_response(), 401)


def test_an_address_that_cannot_be_had_refuses_the_reload(larder):
    proxy, plane = start_admin(larder, CONF)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        log = proxy.reload(f"admin 127.0.0.1:{port} token={TOKEN}\n" + CONF, wait="reload refused")
    assert "in use" in log
    assert plane.get("/livez").status == 200


def test_more_connections_than_are_kept(larder):
    proxy, plane = start_admin(larder, CONF)
    idle = [socket.create_connection(("127.0.0.1", plane.port)) for _ in range(150)]
    for s in idle[::2]:
        s.sendall(b"GET /livez HTTP/1.1\r\nHost: local")  # never ends
    assert plane.get("/livez").status == 200
    def closed(s):
        s.setblocking(False)
        try:
            return s.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
    eventually(lambda: sum(closed(s) for s in idle) >= 80, 15)
    for s in idle:
        s.close()
    assert plane.get("/livez").status == 200
    assert "more than 64 connections" in proxy.stderr()
