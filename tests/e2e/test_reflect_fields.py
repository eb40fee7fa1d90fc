"""Nothing that is not in the name of an entry reaches the backend that fills it (design 4).

The origin gives back every byte of the request. Whatever a stored answer shows of one client's
fields, parameters and cookies, other clients would get: so only what is listed here may show.
"""

import pytest

from lib.cache import seen
from lib.example import signed_in
from lib.names import COOKIES, FIELDS, PARAMETERS
from lib.origin import answer
from lib.tokens import SECRET

# The allow-list of design section 4: they do not choose an answer's content in a backend that
# declares what it varies on.
ALLOWED = {"accept", "accept-charset", "traceparent", "tracestate", "via"}
# From trusted proxies also what they say about the client.
FORWARDING = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
              "forwarded", "x-request-id"}

CONF = f"""
upstream main %ORIGIN%
limits   header_bytes=1mb header_count=1000 query_params=1000
jwt      main alg=HS256 secret={SECRET}
identity org  jwt=main claim=organizationId
route GET /public/{{id}} {{ scope public; key p:{{id}}:{{query}}; query q; ttl 60s }}
route GET /mine/{{id}}   {{ key m:{{org}}:{{id}}:{{query}}; query q; ttl 60s }}
route GET /any/{{id}}    {{ scope authenticated; key a:{{id}}:{{query}}; query q; ttl 60s }}
route GET /all/{{id}}    {{ scope public; key all:{{id}}:{{query}}; ttl 60s
    query q unlisted=drop }}
route GET /keyed/{{id}}  {{ scope public; ttl 60s
    key keyed:{{id}}:{{header.X-Region}}:{{cookie.lang}}:{{query.q}}; query q unlisted=drop }}
route GET /more/{{id}}   {{ scope public; key more:{{id}}; ttl 60s; forward_headers +X-Feature }}
route GET /echo/*        {{ scope public; key echo:{{path}}; query unlisted=drop; ttl 60s }}
"""
ROUTES = ["public", "mine", "any", "all", "keyed", "more"]


@pytest.fixture
def mirror(origin):
    """An origin that answers with the request as it came."""
    def reflect(exchange):
        request = exchange.request
        head = [(f"X-Mirror-{i}", v) for i, (_, v) in enumerate(request.headers)]
        exchange.run(answer(200, request.raw, [("Content-Type", "text/plain"), *head]))
    origin.default = reflect
    return origin


def canary(name):
    return f"canary.{name.lower()}.yranac"


def shown(response):
    """Names whose canary is in the answer's head or body."""
    text = response.raw.lower()
    return {n.lower() for n in {*FIELDS, *PARAMETERS, *COOKIES, "host", "cookie"}
            if canary(n).encode() in text}


def clean_hit(proxy, target, who, **kw):
    hit = proxy.get(target, who, **kw)
    assert hit.x_cache == "HIT", hit
    return hit


@pytest.mark.parametrize("route", ROUTES)
def test_fields(larder, mirror, route):
    proxy = larder(CONF, origin=mirror.url)
    who = signed_in() if route in ("mine", "any") else []
    target = f"/{route}/1"
    poisoned = proxy.get(target, who + [(n, canary(n)) for n in FIELDS])
    assert poisoned.status == 200 and poisoned.x_cache == "MISS"
    extra = {"more": {"x-feature"}}.get(route, set())
    if route == "keyed":
        # X-Region is part of the name, so its entry is not this client's.
        assert proxy.get(target).x_cache == "MISS"
        poisoned = clean_hit(proxy, target, [("X-Region", canary("X-Region"))])
        assert shown(poisoned) == ALLOWED | {"x-region"}
        return
    assert shown(clean_hit(proxy, target, who)) == ALLOWED | extra


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_every_exception_is_one(larder, mirror, name):
    """The list above says what is forwarded, no more and no less."""
    proxy = larder(CONF, origin=mirror.url)
    proxy.get("/public/1", [(name, canary(name))])
    assert shown(clean_hit(proxy, "/public/1", [])) == {name}


def test_fields_from_a_trusted_proxy(larder, mirror):
    proxy = larder("trusted_proxies 127.0.0.1/32\n" + CONF, origin=mirror.url)
    sent = [(n, canary(n)) for n in FIELDS
            if n.lower() not in FORWARDING - {"x-forwarded-host"}]
    poisoned = proxy.get("/public/1", sent)
    assert poisoned.x_cache == "MISS"
    assert shown(clean_hit(proxy, "/public/1", [])) - FORWARDING == ALLOWED


@pytest.mark.parametrize("route", ["all", "keyed", "echo"])
def test_parameters_that_are_not_listed(larder, mirror, route):
    proxy = larder(CONF, origin=mirror.url)
    query = "&".join(f"{n}={canary(n)}" for n in PARAMETERS + ["utm_source", "utm_x", "fbclid"])
    assert proxy.get(f"/{route}/1?{query}").x_cache == "MISS"
    assert shown(clean_hit(proxy, f"/{route}/1", [])) == set()
    query = "&".join(f"{n}[]={canary(n)}&{n}%00={canary(n)}&{n.upper()}%20={canary(n)}"
                     for n in PARAMETERS[:50])
    again = proxy.get(f"/{route}/1?{query}")
    assert shown(again) == set()


@pytest.mark.parametrize("route", ["public", "mine", "any"])
def test_parameters_that_are_not_listed_pass(larder, mirror, route):
    proxy = larder(CONF, origin=mirror.url)
    who = signed_in() if route in ("mine", "any") else []
    for name in PARAMETERS:
        answer_ = proxy.get(f"/{route}/1?{name}={canary(name)}", who)
        assert seen(answer_) == ("BYPASS", "query"), name
        assert shown(answer_) == {name.lower()}
    assert proxy.get(f"/{route}/1", who).x_cache == "MISS"
    assert shown(clean_hit(proxy, f"/{route}/1", who)) == set()


@pytest.mark.parametrize("hidden", [
    "q=1;admin=%s", "q=1%%26admin=%s", "q=1?admin=%s", "q=1%%3Fadmin=%s", "q=1%%00admin=%s",
    "q=1%%0d%%0aadmin:%s", "q=1%%23admin=%s", "q=1%%3Badmin=%s", "q=1+admin=%s", "q=1/../admin=%s",
])
def test_a_parameter_hidden_in_a_listed_one(larder, mirror, hidden):
    """It is part of the value, in the name and towards the backend alike."""
    proxy = larder(CONF, origin=mirror.url)
    target = "/public/1?" + hidden % canary("admin")
    first = proxy.get(target)
    if first.status == 400:
        return
    assert first.x_cache == "MISS"
    sent = mirror.requests[-1].target.partition("?")[2]
    assert "&" not in sent and ";" not in sent and sent.startswith("q=1"), sent
    assert proxy.get("/public/1?q=1").x_cache == "MISS"
    assert shown(clean_hit(proxy, "/public/1?q=1", [])) == set()


@pytest.mark.parametrize("route", ROUTES)
def test_cookies(larder, mirror, route):
    proxy = larder(CONF, origin=mirror.url)
    who = signed_in() if route in ("mine", "any") else []
    crumbs = "; ".join(f"{n}={canary(n)}" for n in COOKIES if n != "lang")
    target = f"/{route}/1"
    assert proxy.get(target, who + [("Cookie", crumbs)]).x_cache == "MISS"
    assert shown(clean_hit(proxy, target, who)) == set()


def test_a_keyed_cookie_is_sent_alone(larder, mirror):
    proxy = larder(CONF, origin=mirror.url)
    crumbs = f"theme={canary('theme')}; lang=de; debug={canary('debug')}"
    assert proxy.get("/keyed/1", [("Cookie", crumbs)]).x_cache == "MISS"
    assert mirror.requests[-1].all("cookie") == ["lang=de"]
    assert shown(clean_hit(proxy, "/keyed/1", [("Cookie", "lang=de")])) == set()
    assert proxy.get("/keyed/1", [("Cookie", "lang=en")]).x_cache == "MISS"
    assert proxy.get("/keyed/1").x_cache == "MISS"
    assert len(mirror.requests) == 3 and mirror.requests[-1].all("cookie") == []


def test_authorization_of_a_public_route(larder, mirror):
    proxy = larder(CONF, origin=mirror.url)
    proxy.get("/public/1", [("Authorization", "Bearer " + canary("token")), ("Cookie", "a=b")])
    assert mirror.requests[-1].header("authorization") is None
    assert mirror.requests[-1].header("cookie") is None
    assert shown(clean_hit(proxy, "/public/1", [])) == set()


@pytest.mark.parametrize("name", ["Cookie", "Authorization", "Host", "X-Forwarded-For"])
def test_connection_may_not_name_what_decides(larder, mirror, name):
    proxy = larder(CONF, origin=mirror.url)
    assert proxy.get("/keyed/1", [("Connection", f"close, {name}")]).status == 400
    assert mirror.count() == 0


def test_connection_cannot_separate_name_and_answer(larder, mirror):
    """A field that is not sent on is not in the name either."""
    proxy = larder(CONF, origin=mirror.url)
    eu = [("X-Region", "eu")]
    stripped = proxy.get("/keyed/1", eu + [("Connection", "close, X-Region")])
    assert stripped.x_cache == "MISS" and mirror.requests[-1].header("x-region") is None
    assert proxy.get("/keyed/1", eu).x_cache == "MISS"
    assert mirror.requests[-1].header("x-region") == "eu"
    assert proxy.get("/keyed/1").body == stripped.body
