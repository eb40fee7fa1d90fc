"""The PROXY protocol: who the client is when a balancer is in front; trusted peers only."""

import socket
import ssl
import struct

import pytest

from lib.certs import Authority
from lib.raw import RawClient, encode_request
from lib.wait import eventually

CONF = """
listen 127.0.0.1:%PORT% proxy_protocol
proxy_protocol_from 127.0.0.1
upstream main %ORIGIN%
defaults { upstream main }
route GET /a { scope public; ttl 1m }
"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ASK = encode_request("GET", "/who")


def v1(src="203.0.113.9", dst="192.0.2.1", family="TCP4"):
    return f"PROXY {family} {src} {dst} 56324 443\r\n".encode()


def v2(src="203.0.113.9", dst="192.0.2.1", command=0x21, family=0x11, tlv=b""):
    if family == 0x11:
        body = socket.inet_aton(src) + socket.inet_aton(dst)
    elif family == 0x21:
        body = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    else:
        body = b""
    body += struct.pack("!HH", 56324, 443) if body else b""
    body += tlv
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url)


@pytest.mark.parametrize("header, client", [
    (v1(), "203.0.113.9"),
    (v1("2001:db8::1", "2001:db8::2", "TCP6"), "2001:db8::1"),
    (v2(), "203.0.113.9"),
    (v2("2001:db8::1", "2001:db8::2", family=0x21), "2001:db8::1"),
    (v2(tlv=b"\x04\x00\x05abcde"), "203.0.113.9"),
], ids=["v1-ip4", "v1-ip6", "v2-ip4", "v2-ip6", "v2-tlv"])
def test_the_client_is_who_the_header_says(proxy, origin, header, client):
    with proxy.raw() as c:
        c.send(header + ASK)
        assert c.read_response().status == 200
        # One header for the connection, not for each request.
        c.send(ASK)
        assert c.read_response().status == 200
    assert [r.header("x-forwarded-for") for r in origin.seen("/who")] == [client] * 2
    assert proxy.access_log(2)[0]["client"] == client


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b c\r\n",
                                    v2(command=0x20), v2(family=0x00)],
                         ids=["v1", "v1-rest", "v2-local", "v2-unspec"])
def test_the_balancer_speaks_for_itself(proxy, origin, header):
    with proxy.raw() as c:
        c.send(header + ASK)
        assert c.read_response().status == 200
    assert origin.seen("/who")[0].header("x-forwarded-for") == "127.0.0.1"


@pytest.mark.parametrize("header", [v1(), v2(), b"PROXY UNKNOWN\r\n"],
                         ids=["v1", "v2", "unknown"])
def test_header_byte_by_byte(proxy, origin, header):
    with proxy.raw() as c:
        for i in range(len(header)):
            c.send(header[i:i + 1])
        for i in range(len(ASK)):
            c.send(ASK[i:i + 1])
        assert c.read_response().status == 200


@pytest.mark.parametrize("start", [
    ASK, b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 1\r\n" + ASK,
    b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n" + ASK, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n" + ASK,
    b"PROXY TCP4 ::1 ::1 1 1\r\n", b"PROXY " + b"A" * 200, SIGNATURE + b"\x11\x11\x00\x0c",
    SIGNATURE + b"\x21\x11\x00\x04abcd" + ASK, v2(command=0x22), b"\r\n\r\n" + ASK,
], ids=["none", "short", "port", "case", "bare-lf", "family", "long", "version", "length", "command",
        "crlf"])
def test_anything_else_is_closed(proxy, origin, start):
    with proxy.raw() as c:
        c.send(start)
        assert c.read_all(5) == b""
    assert origin.count() == 0


def test_two_headers_are_not_a_request(proxy, origin):
    with proxy.raw() as c:
        c.send(v1() + v1("10.0.0.1") + ASK)
        assert c.read_response().status == 400
    assert origin.count() == 0


def test_untrusted_peers_are_refused(proxy, origin):
    with proxy.raw(source="127.0.0.5") as c:
        c.send(v1() + ASK)
        assert c.read_all(5) == b""
    assert origin.count() == 0
    assert "proxy_protocol_from" in proxy.stderr()


def test_without_the_word_a_header_is_not_taken(larder, origin):
    proxy = larder(CONF.replace(" proxy_protocol\nproxy_protocol_from 127.0.0.1", ""),
                   origin=origin.url)
    with proxy.raw() as c:
        c.send(v1() + ASK)
        assert c.read_response().status == 400
    assert origin.count() == 0


def test_a_header_that_never_ends_is_cut(larder, origin):
    proxy = larder("limits head=400ms\n" + CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"PROXY TCP4 ")
        assert c.read_all(5) == b""


def test_forwarded_fields_follow_the_client_not_the_balancer(larder, origin):
    """The balancer is trusted for the header of its protocol, not for X-Forwarded-For."""
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(v1() + encode_request("GET", "/who", {"X-Forwarded-For": "1.1.1.1"}))
        assert c.read_response().status == 200
    assert origin.seen("/who")[0].header("x-forwarded-for") == "203.0.113.9"


def test_connections_count_by_the_client(larder, origin):
    proxy = larder("workers 2\nlimits connections_per_ip=2\n" + CONF, origin=origin.url)

    def connect(src):
        c = proxy.raw()
        c.send(v1(src) + ASK)
        return c
    a = [connect("203.0.113.1") for _ in range(2)]
    assert all(c.read_response().status == 200 for c in a)
    with connect("203.0.113.1") as extra:
        assert extra.read_all(5) == b""
    with connect("203.0.113.2") as other:
        assert other.read_response().status == 200
    a[0].close()

    def again():
        with connect("203.0.113.1") as c:
            return c.read_response().status == 200
    eventually(again)
    a[1].close()


@pytest.mark.parametrize("header", [v1(), v2(), b"PROXY UNKNOWN\r\n",
                                    v2(tlv=b"\x04\x00\x64" + b"x" * 100)],
                         ids=["v1", "v2", "unknown", "v2-tlv"])
def test_tls_follows_the_header(larder, origin, tmp_path, header):
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost")
    proxy = larder(CONF.replace("proxy_protocol\n", f"tls proxy_protocol\ntls {cert} {key}\n", 1),
                   origin=origin.url)
    with RawClient(proxy.port) as c:
        for i in range(len(header)):
            c.send(header[i:i + 1])
        c.sock = authority.client_context().wrap_socket(c.sock, server_hostname="localhost")
        c.send(ASK)
        assert c.read_response().status == 200
    with RawClient(proxy.port) as c:
        # Header and ClientHello in one segment.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        first = header
        sent_ask = False
        answer = b""
        while b"\r\n\r\n" not in answer:
            try:
                if not sent_ask:
                    tls.do_handshake()
                    tls.write(ASK)
                    sent_ask = True
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                pass
            out = first + outgoing.read()
            first = b""
            if out:
                c.send(out)
            if b"\r\n\r\n" not in answer:
                incoming.write(c.read_some())
        assert answer.startswith(b"HTTP/1.1 200")


def test_plain_requests_do_not_pass_a_tls_listener(larder, origin, tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost")
    proxy = larder(CONF.replace("proxy_protocol\n", f"tls proxy_protocol\ntls {cert} {key}\n", 1),
                   origin=origin.url)
    with proxy.raw() as c:
        c.send(v1() + ASK)
        assert b"HTTP" not in c.read_all(5)
    assert origin.count() == 0
