"""Two organizations and many users at once: nobody ever gets bytes made for somebody else.

Writes keep the cache cold, so that hits, fetches and waiting readers are mixed all the time.
"""

import base64
import collections
import itertools
import json
import random

from lib.example import JSON, example, signed_in
from lib.fast import Crew, FastClient
from lib.origin import Sleep, answer
from lib.tokens import SECRET

ORGS = ["org-1", "org-2"]
USERS = ["u1", "u2", "u3"]

CONF = f"""
workers 2
log off
upstream main %ORIGIN%
jwt      main alg=HS256 secret={SECRET}
identity org  jwt=main claim=organizationId
identity user jwt=main claim=sub
route GET /org/{{n}}      {{ key org:{{org}}:{{n}}; ttl 60s }}
route GET /user/{{n}}     {{ key user:{{org}}:{{user}}:{{n}}; ttl 10ms; stale 60s }}
route GET /cookie/{{n}}   {{ scope public; key cookie:{{n}}; ttl 60s }}
route GET /private/{{n}}  {{ scope public; key private:{{n}}; ttl 60s }}
route GET /big/{{n}}      {{ key big:{{org}}:{{user}}:{{n}}; ttl 60s; max_object 4kb }}
route POST /clear/{{n}}   {{ invalidate org:*:{{n}} big:*:{{n}} }}
"""


def claims_of(request):
    body = request.header("authorization").split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=="))


class Canaries:
    """An origin that writes into each answer for whom it was made."""

    def __init__(self, origin):
        self._pick = random.Random(2)
        self._number = itertools.count()
        origin.default = self.serve

    def serve(self, exchange):
        request = exchange.request
        exchange.run(Sleep(self._pick.random() * 0.004))
        kind = request.path.split("/")[1]
        if kind in ("cookie", "private"):
            # Public routes send no token on: each answer is one request's own.
            mine = f"only-{next(self._number)}"
            field = ("Set-Cookie", f"s={mine}") if kind == "cookie" else (
                "Cache-Control", "private, max-age=60")
            exchange.run(answer(200, f"{request.path} {mine}", [field]))
            return
        who = claims_of(request) if request.header("authorization") else {}
        text = f"{request.path} {who.get('organizationId')} {who.get('sub')} "
        exchange.run(answer(200, text * (300 if kind == "big" else 1)))


def test_no_byte_for_another(larder, origin):
    Canaries(origin)
    proxy = larder(CONF, origin=origin.url)
    crew, counts, alone = Crew(), collections.Counter(), collections.Counter()

    def read(org, user, seed):
        pick, mine = random.Random(seed), collections.Counter()
        token = signed_in(user, org)
        with FastClient(proxy.port) as c:
            for _ in range(400):
                kind = pick.choice(("org", "user", "cookie", "private", "big"))
                target = f"/{kind}/{pick.randrange(3)}"
                if pick.random() < 0.05:
                    c.request("POST", f"/clear/{pick.randrange(3)}", token)
                got = c.get(target, token)
                assert got.status == 200, got
                words = got.body.decode().split()
                if kind in ("cookie", "private"):
                    # Made for this request alone, cookie and all.
                    assert got.x_cache == "MISS", got
                    assert (kind == "cookie") == (b"Set-Cookie: s=" in got.head), got
                    alone[words[1]] += 1
                    if kind == "cookie":
                        assert f"Set-Cookie: s={words[1]}\r\n".encode() in got.head, got
                else:
                    expected = (target, org) if kind == "org" else (target, org, user)
                    assert tuple(words[:len(expected)]) == expected, (expected, got)
                    assert got.body.count(b"org-") == (300 if kind == "big" else 1), got
                    other = "org-2" if org == "org-1" else "org-1"
                    assert other not in got.body.decode()
                mine[got.x_cache] += 1
        counts.update(mine)

    seeds = itertools.count()
    for org, user in itertools.product(ORGS, USERS):
        crew.start(read, org, user, next(seeds))
        crew.start(read, org, user, next(seeds))
    crew.join()
    assert max(alone.values()) == 1, "an answer for one request was shown to another"
    assert sum(counts.values()) == 12 * 400
    assert counts["HIT"] > 200 and counts["MISS"] > 200 and counts["STALE"] > 20, counts


def test_real_tenants_on_fastify(larder, backend):
    app = backend("fastify")
    proxy = larder(example("fastify", "workers 2\nlog off"), env={"AGENTS_URL": app.url})
    own = {org: [a["id"] for a in app.get("/api/agents", signed_in("u", org)).json()["items"]]
           for org in ORGS}
    crew, counts = Crew(), collections.Counter()

    def read(org, user, seed):
        pick, mine, token = random.Random(seed), collections.Counter(), signed_in(user, org)
        other = "org-2" if org == "org-1" else "org-1"
        with FastClient(proxy.port) as c:
            for _ in range(250):
                agent = pick.choice(own[org])
                foreign = pick.choice(own[other])
                if pick.random() < 0.04:
                    body = json.dumps({"name": f"{org} agent of {user}"}).encode()
                    put = c.request("PUT", f"/api/agents/{agent}", token + JSON, body)
                    assert put.status == 200
                target = pick.choice((f"/api/agents?limit={pick.randrange(1, 4)}",
                                      f"/api/agents/{agent}", f"/api/agents/{agent}/stats",
                                      "/api/servers", "/api/servers/s1/health",
                                      f"/api/agents/{foreign}", f"/api/agents/{foreign}/stats"))
                got = c.get(target, token)
                assert got.status == (404 if foreign in target.split("/") else 200), (target, got)
                assert other.encode() not in got.body, (target, got)
                assert got.status == 404 or org.encode() in got.body, (target, got)
                mine[got.x_cache] += 1
        counts.update(mine)

    for seed, (org, user) in enumerate(itertools.product(ORGS, USERS)):
        crew.start(read, org, user, seed)
    crew.join()
    assert counts["HIT"] > 200 and counts["MISS"] > 50, counts
