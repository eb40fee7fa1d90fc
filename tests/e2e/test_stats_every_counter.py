"""Every row of tbl/counters.def is compared with what a scripted run must give, exactly: here, or
in the test that ELSEWHERE names. A new row without either fails test_no_row_is_left_out."""

import os
import re
import time
import urllib.parse

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lib import ws
from lib.figures import Figures
from lib.larder import REPO
from lib.nodes import start_node
from lib.origin import Hang, Reset, answer
from lib.ports import free_port
from lib.wait import eventually

# (metric, value of the label that tells the rows apart): what the run in this file must give.
REQUESTS, REASONS = "larder_requests_total", "larder_reasons_total"
RESPONSES, FAILURES = "larder_responses_total", "larder_upstream_failures_total"
ANSWERS = {
    (REQUESTS, "own"): 5, (REQUESTS, "hit"): 2, (REQUESTS, "miss"): 1, (REQUESTS, "stale"): 0,
    (REQUESTS, "revalidated"): 0, (REQUESTS, "bypass"): 1, (REQUESTS, "pass"): 8, (REQUESTS, "abandoned"): 0,
    ("larder_hits_total", "l1"): 2, ("larder_hits_total", "l2"): 0,
    (RESPONSES, "1xx"): 1, (RESPONSES, "2xx"): 8, (RESPONSES, "3xx"): 1, (RESPONSES, "4xx"): 1, (RESPONSES, "5xx"): 6,
    ("larder_errors_total", ""): 5, ("larder_coalesced_requests_total", ""): 0, ("larder_stored_total", ""): 1,
    ("larder_refreshes_total", ""): 0,
    ("larder_invalidations_total", "exact"): 2, ("larder_invalidations_total", "widened"): 1,
    ("larder_upstream_requests_total", ""): 15,
    (FAILURES, "no-upstream"): 1, (FAILURES, "connect"): 1, (FAILURES, "timeout"): 1, (FAILURES, "bad-answer"): 1,
    (FAILURES, "reset"): 1,
    ("larder_saved_upstream_requests_total", ""): 2, ("larder_saved_money_total", ""): 0.5,
}
ROUTE_REASONS = {"miss": 1, "no-org": 1, "upgrade": 1, "no-route": 5, "not-cached": 2, "connect": 1, "timeout": 1, "reset": 1,
                 "bad-answer": 1, "no-upstream": 1}
PROCESS = ["larder_received_bytes_total", "larder_sent_bytes_total",  # compared with the bytes themselves
           "larder_accepted_connections_total", "larder_refused_connections_total", "larder_connections",
           "larder_memory_bytes", "larder_memory_capacity_bytes", "larder_memory_entries", "larder_memory_evictions_total",
           "larder_access_log_lost_lines_total", "larder_uptime_seconds", "process_resident_memory_bytes",
           "process_cpu_seconds_total", "process_open_fds", "larder_build_info", "larder_upstream_server_up",
           "larder_upstream_server_active", "larder_upstream_server_requests_total",
           "larder_upstream_server_failures_total"]
WITH_REDIS = ["larder_redis_connected", "larder_redis_writes_refused", "larder_redis_used_memory_bytes", "larder_redis_keys",
              "larder_breaker_state", "larder_redis_reads_total", "larder_redis_writes_total", "larder_journal_position",
              "larder_journal_patterns", "larder_journal_shapes", "larder_journal_lag_seconds", "larder_journal_uncertain",
              "larder_journal_outbox", "larder_journal_nodes"]
ELSEWHERE = {
    "larder_hit_duration_seconds": ("e2e/test_stats_tiers.py", '["latency_ms"]["hit"]["count"] == 5'),
    "larder_miss_duration_seconds": ("e2e/test_stats_exact.py", "larder_miss_duration_seconds_count"),
    "larder_upstream_duration_seconds": ("e2e/test_stats_tiers.py", '["upstream_ms"]["count"] == 2'),
    "larder_saved_upstream_seconds": ("e2e/test_stats_exact.py", '["saved"]["seconds"] > 0'),
    "larder_journal_coarsened_total": ("unit/test_journal.c", "stats(j).coarsened >= 49000"),
    "larder_alert_firing": ("e2e/test_alerts.py", "larder_alert_firing"),
    "larder_webhook_events_total": ("e2e/test_alerts.py", "larder_webhook_events_total"),
    "larder_webhook_failed_attempts_total": ("e2e/test_alerts.py", "larder_webhook_failed_attempts_total"),
    "larder_journal_intents": ("e2e/test_redis_intent.py", 'journal()["intents"] == 1'),
    "larder_journal_intents_healed_total": ("e2e/test_redis_intent.py", 'journal()["healed"]'),
    "larder_journal_unannounced_total": ("e2e/test_redis_intent.py", 'journal()["unannounced"]'),
    "larder_leases_total": ("e2e/test_lease_trouble.py", 'larder_leases_total", event="repeated") == 1'),
    "larder_lease_waits_total": ("e2e/test_lease_trouble.py", '["silent"] == 1'),
}
CONF = """
workers 1
%ADMIN%
upstream main %ORIGIN%
upstream dead http://127.0.0.1:%DEAD%
upstream sick http://127.0.0.1:%DEAD% health=/health health_interval=100ms
identity org header=X-Org trusted=127.0.0.1
defaults { upstream main; retry 0 }
route GET /ws         { upgrade websocket }
route GET /hang       { timeout first_byte=200ms }
route GET /dead       { upstream dead }
route GET /sick       { upstream sick }
route GET /item/{id}  { scope public; key item:{id}; ttl 1h; cost 0.25 }
route GET /org        { key org:{org}; ttl 1h }
route POST /write/{id} { invalidate item:{id} tag:x }
route POST /write     { invalidate org:{org} }
"""


def metric_rows():
    """(metric, its rows as (label, value)) of the table."""
    with open(os.path.join(REPO, "proxy", "tbl", "counters.def"), encoding="utf-8") as f:
        text = f.read()
    names, rows = {}, {}
    for kind, args in re.findall(r"^([A-Z]+)\((.*)\)$", text, re.M):
        fields = [a.strip(' "') for a in args.split(", ")]
        if kind == "METRIC":
            names[fields[0]] = fields[1]
            rows[fields[1]] = []
        else:
            rows[names[fields[2]]].append(fields[4] if kind not in ("HISTOGRAM", "SERVER") else "")
    return rows


def test_no_row_is_left_out():
    rows = metric_rows()
    assert sum(map(len, rows.values())) > 60
    for metric, values in rows.items():
        here = metric in PROCESS + WITH_REDIS or metric == REASONS or all((metric, v) in ANSWERS for v in values)
        if metric in ELSEWHERE:
            path, words = ELSEWHERE[metric]
            with open(os.path.join(REPO, "tests", path), encoding="utf-8") as f:
                assert words in f.read(), f"{path} no longer says {words}"
        else:
            assert values or here, metric
            assert here, f"no exact test of {metric} {values}"


def test_families_are_those_of_the_table(larder, redis, origin):
    """By prometheus_client: each metric of the table once, with its help, type, and no other labels;
    seconds and bytes are in the names."""
    figures = Figures()
    proxy = start_node(larder, redis, CONF.replace("workers 1", "workers 2") + "redis %REDIS% prefix=shop\nalert redis down url=%ORIGIN%/\n",
                       origin=origin.url, admin=figures.conf, dead=free_port())
    proxy.get("/item/1")
    figures.stats(1)
    figures.metrics()
    families = list(text_string_to_metric_families(figures.get("/metrics").body.decode()))
    with open(os.path.join(REPO, "proxy", "tbl", "counters.def"), encoding="utf-8") as f:
        table = re.findall(r'^METRIC\(\w+, "(\w+)", (\w+), "(\w+)", "([a-z ]*)", "(.*)"\)$', f.read(), re.M)
    assert len({name for name, *_ in table}) == len(table) == len(families)
    for family, (name, kind, unit, labels, words) in zip(families, table):
        assert (family.name, family.type) == (name.removesuffix("_total"), kind.lower())
        assert family.documentation == words and words.endswith(".")
        used = {label for s in family.samples for label in s.labels}
        assert used <= set(labels.split()) | ({"le"} if kind == "HISTOGRAM" else set()), name
        for word in ("seconds", "bytes"):
            assert (unit == word) == (word in name), (name, unit)


def test_requests_answers_and_failures(larder, origin):
    """One of everything that is counted by route."""
    figures = Figures()
    origin.route("/ws", ws.echo)
    for status in (200, 204, 301, 404, 503):
        origin.route(f"/status/{status}", answer(status, b"" if status == 204 else b"x"))
    origin.route("/hang", [Hang()])
    origin.route("/garbage", b"no HTTP at all\r\n\r\n")
    origin.route("/reset", [Reset()])
    origin.default = answer(200, b"body")
    proxy = larder(CONF, origin=origin.url, admin=figures.conf, dead=free_port())
    eventually(lambda: figures.stats()["upstreams"][2]["servers"][0]["state"] == "down", 15)
    got = []
    with proxy.raw() as raw:
        client = ws.Client(raw)
        client.send(b"\x03\xe8bye", ws.CLOSE)
        assert client.receive()[0] == ws.CLOSE and raw.closed()
    for target in ("/status/200", "/status/204", "/status/301", "/status/404", "/status/503", "/hang", "/garbage",
                   "/reset", "/dead", "/sick", "/item/1", "/item/1", "/item/1", "/org"):
        got.append(proxy.get(target))
    got.append(proxy.post("/write/1", b"12345"))
    got.append(proxy.post("/write", b"123"))
    figures.stats(len(got) + 1)
    m = figures.metrics()
    for (metric, value), wanted in ANSWERS.items():
        samples = [(labels, n) for labels, n in m.all(metric) if not value or value in labels.values()]
        assert sum(n for _, n in samples) == wanted, (metric, value, samples)
    words = {labels["reason"] for labels, _ in m.all(REASONS)}
    assert {word: m.sum(REASONS, reason=word) for word in words} == ROUTE_REASONS
    assert m.sum("larder_received_bytes_total") == 8
    assert (m.sum("larder_sent_bytes_total") - m.sum("larder_sent_bytes_total", route="GET /ws") ==
            sum(len(a.raw) for a in got))


def test_the_process(larder, origin):
    figures = Figures()
    origin.default = answer(200, b"x" * 50000)
    began = time.monotonic()
    proxy = larder("""
workers 1
%ADMIN%
memory 1mb
limits connections_per_ip=3
log /dev/full
upstream main %ORIGIN%
defaults { upstream main }
route GET /item/{id} { scope public; key item:{id}; ttl 1h }
""", origin=origin.url, admin=figures.conf)
    # The one that has seen that the proxy listens.
    before = eventually(lambda: (c := figures.stats()["connections"])["accepted"] and c, 15)
    with proxy.raw() as a, proxy.raw() as b, proxy.raw() as c:
        for n in range(40):
            assert (a, b, c)[n % 3].get(f"/item/{n}").status == 200
        with proxy.raw() as d:
            d.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            d.closed()
        stats = figures.stats(40)
        eventually(lambda: figures.stats()["connections"]["refused"] == 1, 15)
        m = figures.metrics()
        assert m.sum("larder_accepted_connections_total") == before["accepted"] + 3
        assert m.sum("larder_refused_connections_total") == 1
        assert m.sum("larder_connections", side="client") == 3
        assert m.sum("larder_connections", side="upstream") == len([x for x in origin.connections if x.open]) == 1
        fds = len(os.listdir(f"/proc/{proxy.process.pid}/fd"))
        assert abs(m.sum("process_open_fds") - fds) <= 1      # the scrape's own connection
    assert m.sum("larder_memory_capacity_bytes") == 1 << 20
    entries, evicted = m.sum("larder_memory_entries"), m.sum("larder_memory_evictions_total")
    assert entries + evicted == stats["stored"] == 40 and evicted >= 20
    assert 50000 * entries < m.sum("larder_memory_bytes") <= 1 << 20
    eventually(lambda: figures.metrics().sum("larder_access_log_lost_lines_total") == 40, 15)
    m = figures.metrics()
    assert 0 < m.sum("larder_uptime_seconds") <= time.monotonic() - began
    with open(f"/proc/{proxy.process.pid}/status", encoding="ascii") as f:
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024
    assert m.sum("process_resident_memory_bytes") == pytest.approx(resident, rel=0.1)
    with open(f"/proc/{proxy.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    assert abs(m.sum("process_cpu_seconds_total") - used) <= 0.1 + used
    with open(os.path.join(REPO, "Makefile"), encoding="utf-8") as f:
        version = re.search(r"^VERSION\s*[:?]?=\s*(\S+)", f.read(), re.M).group(1)
    assert m.all("larder_build_info") == [({"version": version}, 1)]
    server = {"upstream": "main", "server": origin.url}
    for name, wanted in (("up", 1), ("active", 0), ("requests_total", 40), ("failures_total", 0)):
        assert m.all(f"larder_upstream_server_{name}") == [(server, wanted)], name


REDIS_CONF = """
workers 2
%ADMIN%
redis %REDIS% prefix=shop budget=300ms max_object_redis=4kb lease=off
upstream main %ORIGIN%
defaults { upstream main }
route GET /item/{id}  { scope public; key item:{id}; ttl 1h }
route POST /write/{id} { invalidate item:{id}:* }
"""


def test_redis_and_the_journal(larder, redis, origin):
    figures = [Figures(), Figures()]
    nodes = [start_node(larder, redis, REDIS_CONF, origin=origin.url, admin=f.conf) for f in figures]

    def reads(n):
        m = figures[n].metrics()
        return {k: m.sum("larder_redis_reads_total", outcome=k) for k in ("hit", "miss", "other", "damaged", "failed")}

    def writes(n):
        m = figures[n].metrics()
        return {k: m.sum("larder_redis_writes_total", outcome=k) for k in ("sent", "failed", "too-large")}
    for n in range(4):
        origin.route(f"/item/{n}", answer(200, b"x" * 100))
    origin.route("/item/large", answer(200, b"x" * 9000))
    origin.route("/item/late", answer(200, b"y"))
    for n in range(4):
        assert nodes[0].get(f"/item/{n}").x_cache == "MISS"
    assert nodes[0].get("/item/large").x_cache == "MISS"
    eventually(lambda: len(redis.entries("shop")) == 4, 15)
    assert reads(0) == {"hit": 0, "miss": 5, "other": 0, "damaged": 0, "failed": 0}
    assert writes(0) == {"sent": 4, "failed": 0, "too-large": 1}
    # The second node: one as it is, one damaged, one that is nobody's, one without an answer in time.
    names = {n: next(k for k in redis.entries("shop") if f"item:{n}" in k) for n in range(3)}
    whole = redis.call("GET", names[1])
    redis.call("SET", names[1], whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    redis.call("SET", names[2], whole)
    assert [nodes[1].get(f"/item/{n}").x_cache for n in range(3)] == ["HIT", "MISS", "MISS"]
    assert reads(1) == {"hit": 1, "miss": 0, "other": 1, "damaged": 1, "failed": 0}
    redis.pause()
    assert nodes[1].get("/item/3").x_cache == "MISS"
    assert reads(1)["failed"] == 1
    assert figures[1].metrics().sum("larder_redis_reads_total") == 4
    redis.resume()
    journal = eventually(lambda: (m := figures[0].metrics()).sum("larder_redis_connected") == 1 and
                         m.sum("larder_journal_uncertain") == 0 and m, 20)
    assert journal.sum("larder_journal_nodes") == 2 and journal.sum("larder_journal_outbox") == 0
    assert 0 <= journal.sum("larder_journal_lag_seconds") < 5
    # Three different globs of one shape, and one again.
    at = journal.sum("larder_journal_position")
    for n in (1, 2, 3, 3):
        assert nodes[0].post(f"/write/{n}", b"").status == 200
    for f in figures:
        m = eventually(lambda: (m := f.metrics()).sum("larder_journal_position") == at + 4 and m, 15)
        assert (m.sum("larder_journal_patterns"), m.sum("larder_journal_shapes")) == (3, 1)
    m = eventually(lambda: (m := figures[0].metrics()).sum("larder_redis_keys") == redis.call("DBSIZE") and m, 30)
    assert m.sum("larder_redis_used_memory_bytes") == pytest.approx(int(redis.info("used_memory")), rel=0.3)
    assert {labels["breaker"]: n for labels, n in m.all("larder_breaker_state")}["redis-data"] == 0
    # Redis that is full: what is sent fails, and it is known to take nothing.
    sent = writes(0)
    redis.call("CONFIG", "SET", "maxmemory", "1")
    assert nodes[0].get("/item/late").x_cache == "MISS"
    eventually(lambda: writes(0) == {"sent": sent["sent"] + 1, "failed": 1, "too-large": 1}, 15)
    eventually(lambda: figures[0].metrics().sum("larder_redis_writes_refused") == 1, 15)
    redis.call("CONFIG", "SET", "maxmemory", "0")
    # Redis that is gone.
    redis.stop()
    m = eventually(lambda: (m := figures[0].metrics()).sum("larder_breaker_state", breaker="redis-data") == 2 and m, 30)
    assert m.sum("larder_redis_connected") == 0
    assert nodes[0].post("/write/1", b"").status in (200, 202, 503)
    eventually(lambda: figures[0].metrics().sum("larder_journal_outbox") == 1, 15)
    eventually(lambda: figures[0].metrics().sum("larder_journal_uncertain") == 1, 30)


def test_hostile_names(larder, origin):
    """Labels are what the configuration calls a route: its path may hold quotes and what looks
    like the end of a line of the page."""
    figures = Figures()
    paths = ['/quo"ted', "/caf\u00e9/\u2603", '/a",b="c', "/le=+Inf", '/"\u00a0 1', "/<b>&amp"]
    routes = []
    for i, path in enumerate(paths):
        text = path.replace('"', '\\"')
        routes.append(f'route GET "{text}" {{ scope public; key r{i}; ttl 1h }}')
    proxy = larder("%ADMIN%\nworkers 1\nupstream main %ORIGIN%\ndefaults { upstream main }\n" + "\n".join(routes),
                   origin=origin.url, admin=figures.conf)
    for path in paths:
        for _ in range(2):
            proxy.get(urllib.parse.quote(path, safe="/,=+&"))
    stats = figures.stats(2 * len(paths))
    m = figures.metrics()    # strictly, and by prometheus_client's parser
    wanted = {f"GET {path}" for path in paths}
    assert {r["route"] for r in stats["routes"]} == wanted
    assert {labels["route"] for labels, _ in m.all(REQUESTS)} == wanted
    for route in wanted:
        assert m.sum(REQUESTS, route=route, result="hit") == m.sum(REQUESTS, route=route, result="miss") == 1
