"""Who asked, by which way: what origins are told, and who is believed."""

import pytest

from lib.certs import Authority
from lib.raw import RawClient
from lib.ports import free_port

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit { scope public; ttl 1m }
"""
TRUSTED = "trusted_proxies 127.0.0.0/8 10.0.0.0/8 ::1\n" + CONF
SPOOFED = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"),
           ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "444"),
           ("X-Real-IP", "1.2.3.4"), ("Forwarded", "for=1.2.3.4;proto=https;host=evil.example"),
           ("Via", "1.1 somebody")]


def seen(origin, name):
    return origin.requests[-1].all(name)


def test_strangers_are_not_believed(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    for path in ("/pass", "/hit"):
        assert proxy.get(path, SPOOFED).status == 200
        assert seen(origin, "x-forwarded-for") == ["127.0.0.1"]
        assert seen(origin, "x-real-ip") == ["127.0.0.1"]
        assert seen(origin, "x-forwarded-proto") == ["http"]
        assert seen(origin, "x-forwarded-host") == ["localhost"]
        assert seen(origin, "x-forwarded-port") == ["80"]
        assert seen(origin, "forwarded") == ["for=127.0.0.1;host=localhost;proto=http"]
        assert b"1.2.3.4" not in origin.requests[-1].raw
        assert b"evil" not in origin.requests[-1].raw


def test_trusted_proxies_are(larder, origin):
    proxy = larder(TRUSTED, origin=origin.url)
    assert proxy.get("/pass", SPOOFED).status == 200
    assert seen(origin, "x-forwarded-for") == ["1.2.3.4, 127.0.0.1"]
    assert seen(origin, "x-real-ip") == ["1.2.3.4"]
    assert seen(origin, "x-forwarded-proto") == ["https"]
    assert seen(origin, "x-forwarded-host") == ["evil.example"]
    assert seen(origin, "x-forwarded-port") == ["444"]
    assert len(seen(origin, "forwarded")) == 1
    assert seen(origin, "forwarded")[0].endswith("for=127.0.0.1;host=localhost;proto=http")
    assert proxy.access_log(1)[0]["client"] == "1.2.3.4"


@pytest.mark.parametrize("chain,client", [
    ("9.9.9.9, 10.1.1.1, 10.2.2.2", "9.9.9.9"),      # the right-most that is not trusted
    ("1.1.1.1, 9.9.9.9, 10.1.1.1", "9.9.9.9"),
    ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
    ("unknown, 10.1.1.1", "10.1.1.1"),
    ("9.9.9.9:1234, 10.1.1.1", "9.9.9.9"),
    ("[2001:db8::7]:80, 10.1.1.1", "2001:db8::7"),
    ("2001:db8::7", "2001:db8::7"),
    ("garbage", "127.0.0.1"),
    ("", "127.0.0.1"),
    pytest.param(", ".join(["9.9.9.9"] + ["10.1.1.1"] * 400), "9.9.9.9", id="400 proxies"),
])
def test_the_client_is_the_nearest_stranger(larder, origin, chain, client):
    proxy = larder(TRUSTED, origin=origin.url)
    assert proxy.get("/pass", [("X-Forwarded-For", chain)]).status == 200
    assert seen(origin, "x-real-ip") == [client]
    assert proxy.access_log(1)[0]["client"] == client


def test_forwarded_alone_becomes_both(larder, origin):
    proxy = larder(TRUSTED, origin=origin.url)
    assert proxy.get("/pass", [("Forwarded", 'for="[2001:db8::7]:80";proto=https, for=10.1.1.1')]
                     ).status == 200
    assert seen(origin, "x-forwarded-for") == ["2001:db8::7, 10.1.1.1, 127.0.0.1"]
    assert seen(origin, "x-real-ip") == ["2001:db8::7"]


def test_ipv6_is_quoted(larder, origin):
    port = free_port()
    larder(f"listen [::1]:{port}\nlisten 127.0.0.1:%PORT%\n" + CONF, origin=origin.url)
    with RawClient(port, host="::1") as c:
        assert c.get("/pass").status == 200
    assert seen(origin, "forwarded") == ['for="[::1]";host=localhost;proto=http']
    assert seen(origin, "x-forwarded-for") == ["::1"]


def test_a_unix_socket_has_no_address(larder, origin, tmp_path):
    path = f"{tmp_path}/s"
    larder(f"listen unix:{path}\nlisten 127.0.0.1:%PORT%\n" + CONF, origin=origin.url)
    with RawClient(0, unix=path) as c:
        assert c.get("/pass", SPOOFED).status == 200
    assert seen(origin, "x-forwarded-for") == [] and seen(origin, "x-real-ip") == []
    assert seen(origin, "forwarded") == ["for=_unix;host=localhost;proto=http"]


def test_tls_is_told(larder, origin, tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost")
    proxy = larder("listen 127.0.0.1:%PORT% tls\ntls %CERT% %KEY%\n" + CONF, origin=origin.url,
                   cert=cert, key=key)
    with proxy.raw(tls=authority.client_context()) as c:
        assert c.get("/pass", [("X-Forwarded-Proto", "http")]).status == 200
    assert seen(origin, "x-forwarded-proto") == ["https"]
    assert seen(origin, "x-forwarded-port") == ["443"]
    assert seen(origin, "forwarded")[0].endswith(";proto=https")


def test_via_is_a_chain(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/pass", [("Via", "1.0 a"), ("Via", "1.1 b (c, d)")])
    assert len(seen(origin, "via")) == 1
    assert seen(origin, "via")[0].startswith("1.0 a, 1.1 b (c, d), 1.1 larder")


@pytest.mark.parametrize("conf,given,kept", [
    (CONF, "abc-1", False), (TRUSTED, "abc-1", True), (TRUSTED, "a b", False),
    (TRUSTED, "x" * 65, False), (TRUSTED, "", False)])
def test_request_id(larder, origin, conf, given, kept):
    proxy = larder(conf, origin=origin.url)
    proxy.get("/pass", [("X-Request-Id", given)])
    sent = seen(origin, "x-request-id")
    assert len(sent) == 1 and (sent == [given]) == kept
    assert proxy.access_log(1)[0]["id"] == sent[0]
