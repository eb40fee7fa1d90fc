"""TLS listeners: certificates by SNI, versions, ends that are not clean."""

import socket
import ssl
import warnings

import pytest

from lib.certs import Authority
from lib.ports import free_port
from lib.raw import RawClient
from lib.wait import eventually


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


CONF = """
listen 127.0.0.1:%PORT% tls
upstream main %ORIGIN%
defaults { upstream main }
tls %CERT% %KEY%
route GET /a { scope public; ttl 1m }
"""


@pytest.fixture
def secure(larder, origin, authority):
    def start(extra="", conf=CONF, **values):
        cert, key = authority.issue("localhost")
        return larder(extra + conf, origin=origin.url, cert=cert, key=key, **values)
    return start


def test_requests_over_tls(secure, authority):
    proxy = secure()
    with proxy.raw(tls=authority.client_context()) as c:
        assert c.sock.version() in ("TLSv1.2", "TLSv1.3")
        assert [c.get("/a").x_cache for _ in range(2)] == ["MISS", "HIT"]
    assert proxy.access_log(2)[0]["tls"] is True


def test_only_http_1_is_negotiated(secure, authority):
    proxy = secure()
    context = authority.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with proxy.raw(tls=context) as c:
        assert c.sock.selected_alpn_protocol() == "http/1.1"
        assert c.get("/a").status == 200


def test_old_versions_are_refused(secure, authority):
    proxy = secure()
    context = authority.client_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        proxy.raw(tls=context)
    with proxy.raw(tls=authority.client_context()) as c:
        assert c.get("/a").status == 200


def test_the_certificate_follows_the_name(larder, origin, authority):
    one, one_key = authority.issue("one.test")
    two, two_key = authority.issue("two.test")
    proxy = larder(f"""
        listen 127.0.0.1:%PORT% tls
        upstream main %ORIGIN%
        defaults {{ upstream main }}
        host one.test {{ tls {one} {one_key}; route GET /a {{ scope public; ttl 1m }} }}
        host two.test {{ tls {two} {two_key}; route GET /a {{ scope public; ttl 1m }} }}
    """, origin=origin.url)
    for name in ("one.test", "two.test"):
        with proxy.raw(tls=authority.client_context(), server_name=name) as c:
            assert c.sock.getpeercert()["subjectAltName"] == (("DNS", name),)
            assert c.get("/a", [("Host", name)]).status == 200


def test_plain_http_on_a_tls_port_ends(secure):
    proxy = secure()
    with proxy.raw() as c:
        c.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in c.read_all(5)


def test_a_handshake_that_never_ends_is_cut(secure, authority):
    proxy = secure("limits head=400ms\n")
    with proxy.raw() as c:
        c.send(b"\x16\x03\x01")
        assert c.read_all(5) == b""
    with proxy.raw(tls=authority.client_context()) as c:
        assert c.get("/a").status == 200


def test_clients_that_leave_in_the_handshake(secure, authority):
    proxy = secure()
    before = proxy.fds()
    for i in range(30):
        s = socket.create_connection(("127.0.0.1", proxy.port))
        if i % 2:
            s.sendall(b"\x16\x03\x01\x00\x05hello"[: 3 + i % 8])
        s.close()
    eventually(lambda: proxy.fds() <= before)
    with proxy.raw(tls=authority.client_context()) as c:
        assert c.get("/a").status == 200


def test_connection_limit_closes_without_words(secure, authority):
    proxy = secure("limits connections=1\n")

    def connect():
        return proxy.raw(tls=authority.client_context())
    with eventually(connect) as c:
        assert c.get("/a").status == 200
        with pytest.raises((ssl.SSLError, OSError)):
            connect()


def test_big_answers_and_uploads(secure, origin, authority):
    body = bytes(range(256)) * 4096
    origin.route("/big", lambda x: x.answer(200, body))
    proxy = secure()
    with proxy.raw(tls=authority.client_context()) as c:
        assert c.get("/big").body == body
        assert c.request("POST", "/up", body=body).status == 200
    assert origin.seen("/up")[0].body == body


def test_redirect_to_https(larder, origin, authority):
    cert, key = authority.issue("localhost")
    plain = free_port()
    proxy = larder(f"listen 127.0.0.1:{plain}\nredirect https\n" + CONF, origin=origin.url,
                   cert=cert, key=key)
    with RawClient(plain) as c:
        r = c.get("/a?x=1", [("Host", "localhost")])
        assert r.status == 308 and r.header("location") == "https://localhost/a?x=1"
    with proxy.raw(tls=authority.client_context()) as c:
        assert c.get("/a").status == 200
