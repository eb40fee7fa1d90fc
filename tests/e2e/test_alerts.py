"""Webhooks of `alert`: what begins and ends them, and what receivers get and may do."""

import json
import os
import re
import time

import pytest

from lib.figures import Figures
from lib.larder import REPO
from lib.origin import FakeOrigin, Hang, answer
from lib.ports import free_port
from lib.wait import eventually

SECRET = "0123456789abcdef-hook"
SLOW = 30  # the machine may be busy


def genuine():
    """The function that docs/operating.md gives to receivers, as it stands there."""
    with open(os.path.join(REPO, "docs", "operating.md"), encoding="utf-8") as f:
        code = re.search(r"```python\n(import hashlib.*?)```", f.read(), re.S).group(1)
    scope = {}
    exec(code, scope)
    return scope["genuine"]


@pytest.fixture
def hook(make_origin):
    """A receiver that takes everything; it is a fake origin with a name."""
    receiver = make_origin()
    receiver.default = answer(204)
    return receiver


def events(receiver, n=0):
    """The bodies so far, each with its request; waits until there are n."""
    if n:
        receiver.wait_requests(n, timeout=SLOW)
    seen = [r for r in receiver.seen() if r.complete]
    return [dict(json.loads(r.body), request=r) for r in seen]


def states(receiver, n=0):
    return [e["state"] for e in events(receiver, n)]


def until(check, what, each):
    """Calls each() again and again until check() is true."""
    def step():
        each()
        return check()
    eventually(step, SLOW, what, interval=0.05)


def test_hit_rate(larder, origin, hook):
    origin.default = answer(200, b"x" * 100)
    proxy = larder("""
upstream main %UP%
alert hit_rate<50% for 1s url=%HOOK%/in?team=a secret=%SECRET% requests=5
route GET /c/{id} { upstream main; scope public; ttl 1h }
""", up=origin.url, hook=hook.url, secret=SECRET)
    fresh = iter(range(100000))
    until(lambda: hook.count() >= 1, "the alert", lambda: proxy.get(f"/c/{next(fresh)}"))
    firing = events(hook, 1)[0]
    request = firing.pop("request")
    assert (request.method, request.target) == ("POST", "/in?team=a")
    assert request.header("content-type") == "application/json"
    headers = {n: request.header(n) for n in ("Larder-Timestamp", "Larder-Signature")}
    assert genuine()(SECRET.encode(), headers, request.body)
    assert not genuine()(SECRET.encode(), headers, request.body + b" ")
    assert not genuine()(b"another secret", headers, request.body)
    old = {**headers, "Larder-Timestamp": str(int(headers["Larder-Timestamp"]) - 1000)}
    assert not genuine()(SECRET.encode(), old, request.body)
    assert request.header("larder-event-id") == firing["id"]
    assert firing["alert"] == "hit_rate<50% for 1s"
    assert (firing["event"], firing["state"], firing["repeated"]) == ("hit_rate", "firing", False)
    assert firing["value"] < 50 and firing["limit"] == 50
    assert re.fullmatch(r"\d+ hits of \d+ requests", firing["detail"])
    assert set(firing) == {"id", "alert", "event", "state", "repeated", "value", "limit", "detail",
                           "since", "at", "node", "version"}
    # Hits end it, and only once.
    until(lambda: hook.count() >= 2, "its end", lambda: [proxy.get("/c/0") for _ in range(5)])
    over = events(hook, 2)[1]
    assert over["state"] == "resolved" and over["value"] >= 50
    assert over["since"][:19] == firing["since"][:19] and over["at"] > firing["at"]
    assert over["id"] != firing["id"]
    assert "alert hit_rate<50% for 1s: firing" in proxy.stderr()
    assert "alert hit_rate<50% for 1s: resolved" in proxy.stderr()
    assert SECRET not in proxy.stderr()
    assert states(hook) == ["firing", "resolved"]


def test_errors_and_a_failing_receiver(larder, hook):
    hook.script(answer(503), answer(500))
    proxy = larder("""
upstream main %UP%
alert errors>2 for 2s url=%HOOK%/ secret=%SECRET%
defaults { upstream main }
""", up=f"http://127.0.0.1:{free_port()}", hook=hook.url, secret=SECRET)
    for _ in range(3):
        assert proxy.get("/x").status == 502
    # Twice refused, then taken: the same event, signed anew each time.
    first = events(hook, 3)
    assert len({e["id"] for e in first[:3]}) == 1 and first[2]["state"] == "firing"
    assert first[0]["value"] >= 3 and first[0]["event"] == "errors"
    stamps = [int(e["request"].header("larder-timestamp")) for e in first[:3]]
    assert stamps == sorted(stamps) and stamps[2] > stamps[0]
    over = events(hook, 4)[3]
    assert over["state"] == "resolved" and over["value"] == 0
    assert "its webhook fails: the answer's status is 503" in proxy.stderr()
    eventually(lambda: "its webhook answers again" in proxy.stderr(), SLOW)


def test_redirects_are_not_followed(larder, make_origin, hook):
    elsewhere = make_origin()
    hook.default = answer(307, headers=[("Location", elsewhere.url + "/")])
    proxy = larder("""
upstream main %UP%
alert errors>0 for 1s url=%HOOK%/
defaults { upstream main }
""", up=f"http://127.0.0.1:{free_port()}", hook=hook.url)
    assert proxy.get("/x").status == 502
    eventually(lambda: "was not delivered: the answer's status is 307, and redirects are not "
               "followed" in proxy.stderr(), SLOW)
    assert hook.seen()[0].header("larder-signature") is None  # no secret, no signature
    assert elsewhere.count() == 0


def test_redis_and_breakers(larder, redis, origin, hook):
    proxy = larder("""
upstream main %UP%
redis %REDIS% prefix=alerts
alert redis down for 1s url=%HOOK%/redis
alert breaker open for 1s url=%HOOK%/breaker
defaults { upstream main }
""", up=origin.url, redis=redis.url, hook=hook.url)
    assert proxy.get("/x").status == 200
    redis.stop()
    down = json.loads(hook.wait_requests(1, "/redis", timeout=SLOW)[0].body)
    assert (down["event"], down["state"], down["value"]) == ("redis_down", "firing", 1)
    assert down["detail"] == "not connected" and "limit" not in down
    opened = json.loads(hook.wait_requests(1, "/breaker", timeout=SLOW)[0].body)
    assert opened["event"] == "breaker_open" and opened["value"] >= 1
    assert "redis-" in opened["detail"]
    assert proxy.get("/x").status == 200
    redis.start()
    for path in ("/redis", "/breaker"):
        over = json.loads(hook.wait_requests(2, path, timeout=SLOW)[1].body)
        assert over["state"] == "resolved", path


def test_upstream_server_down(larder, make_origin, hook):
    good, bad = make_origin(), f"http://127.0.0.1:{free_port()}"
    proxy = larder("""
upstream main %GOOD% %BAD% max_fails=1 fail_timeout=1h
alert breaker open for 1s url=%HOOK%/
defaults { upstream main }
""", good=good.url, bad=bad, hook=hook.url)
    until(lambda: hook.count() >= 1, "the alert", lambda: proxy.get("/x"))
    assert events(hook, 1)[0]["detail"] == f"main {bad}"


def test_shown_without_a_receiver(larder, origin, hook):
    """/stats, /metrics: what fires, and how its delivery went; never to whom."""
    figures = Figures()
    broken = hook.url + "/broken?key=the-key"
    hook.route("/broken", answer(400))
    proxy = larder("""
%ADMIN%
upstream main %UP%
alert errors>0 for 1h url=%BROKEN%
alert errors>0 for 1h url=%HOOK%/one
alert redis down url=%HOOK%/two
defaults { upstream main }
""", up=f"http://127.0.0.1:{free_port()}", hook=hook.url, broken=broken, admin=figures.conf)
    quiet = figures.stats()["alerts"]
    assert (quiet["sent"], quiet["failed"], quiet["dropped"], quiet["firing"]) == (0, 0, 0, 0)
    assert [r["alert"] for r in quiet["rules"]] == ["errors>0 for 1h"] * 2 + [quiet["rules"][2]["alert"]]
    assert not any(r["firing"] or r["since"] for r in quiet["rules"])
    assert proxy.get("/x").status == 502
    hook.wait_requests(2, timeout=SLOW)
    told = eventually(lambda: (a := figures.stats()["alerts"])["sent"] + a["dropped"] == 2 and a, SLOW)
    assert (told["sent"], told["failed"], told["dropped"], told["firing"]) == (1, 1, 1, 2)
    assert [r["firing"] for r in told["rules"]] == [True, True, False]
    assert told["rules"][0]["detail"] == "1 error" and told["rules"][0]["since"].endswith("Z")
    m = figures.metrics()
    assert m.all("larder_alert_firing") == [
        ({"alert": "errors>0 for 1h"}, 1), ({"alert": told["rules"][2]["alert"]}, 0)]
    assert m.sum("larder_webhook_events_total", outcome="sent") == 1
    assert m.sum("larder_webhook_events_total", outcome="dropped") == 1
    assert m.sum("larder_webhook_failed_attempts_total") == 1
    assert b"the-key" not in figures.get("/stats").body + figures.get("/metrics").body


def test_a_reload_keeps_and_ends_alerts(larder, make_origin, hook):
    conf = """
upstream main %UP%
alert errors>0 for 1h url=%HOOK%/keep
alert errors>0 for 30m url=%HOOK%/drop
defaults { upstream main }
"""
    proxy = larder(conf, up=f"http://127.0.0.1:{free_port()}", hook=hook.url)
    assert proxy.get("/x").status == 502
    hook.wait_requests(2, timeout=SLOW)
    proxy.reload(conf.replace("alert errors>0 for 30m url=%HOOK%/drop", "alert errors>9 url=%HOOK%/new"),
                 wait="reload done")
    over = json.loads(hook.wait_requests(2, "/drop", timeout=SLOW)[1].body)
    assert (over["state"], over["detail"]) == ("resolved", "no longer in the configuration")
    # Some more seconds of looking: the one that stays is not told again, the new one is quiet.
    end = time.monotonic() + 2
    eventually(lambda: time.monotonic() > end, SLOW)
    assert (hook.count("/keep"), hook.count("/drop"), hook.count("/new")) == (1, 2, 0)


def test_a_receiver_that_hangs_holds_up_nothing(larder, make_origin, origin):
    stuck = make_origin()
    stuck.default = [Hang()]
    other = make_origin()
    other.default = answer(200)
    proxy = larder("""
upstream main %UP%
upstream gone %GONE%
alert errors>0 for 1s url=%STUCK%/
alert errors>0 for 1s url=%OTHER%/
defaults { upstream main }
route GET /gone { upstream gone }
""", up=origin.url, gone=f"http://127.0.0.1:{free_port()}", stuck=stuck.url, other=other.url)
    assert proxy.get("/gone").status == 502
    stuck.wait_requests(1, timeout=SLOW)
    assert events(other, 1)[0]["state"] == "firing"
    assert proxy.get("/x").status == 200
    assert proxy.stop() == 0  # at once, not after the receiver's time-out
    assert "had not been delivered" in proxy.stderr()


def test_nothing_is_sent_without_an_alert(larder, origin):
    proxy = larder("upstream main %UP%\ndefaults { upstream main }\n", up=origin.url)
    assert proxy.get("/x").status == 200
    with open(f"/proc/{proxy.pid}/task/{proxy.pid}/comm") as f:
        assert f.read().strip() == "larder"
    threads = [open(f"/proc/{proxy.pid}/task/{t}/comm").read().strip()
               for t in os.listdir(f"/proc/{proxy.pid}/task")]
    assert "alerts" not in threads
