"""`larder stats`: what was counted, as tables and as JSON."""

import json
import re

from lib.admin import start_admin
from lib.larder import run_cli
from lib.origin import answer

CONF = """
upstream main %ORIGIN%
route GET /a { upstream main; scope public; key a; ttl 60s }
"""


def test_tables_and_json_agree_with_what_happened(larder, origin):
    origin.route("/a", answer(200, b"hello"))
    origin.route("/none", answer(200, b"x"))
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    for path in ("/a", "/a", "/a", "/a", "/none"):
        proxy.get(path)
    proxy.access_log(5, timeout=15)
    r = run_cli("stats", "-c", proxy.conf_path)
    assert r.returncode == 0, r.stderr
    text = re.sub(" +", " ", r.stdout)
    assert "requests 5 hits 3 hit ratio 75.0 %" in text
    assert re.search(r"misses 1 .* pass 1 ", text)
    assert re.search(r"^GET /a 75\.0 % 3 1 0 0 0 0 0 ", text, re.M)
    assert f"main {origin.url} up 2 0 0" in text
    assert re.search(r"^miss 1$", text, re.M) and re.search(r"^no-route 1$", text, re.M)
    r = run_cli("stats", "--json", "-c", proxy.conf_path)
    assert r.returncode == 0 and r.stdout.count("\n") == 1
    stats = json.loads(r.stdout)
    assert (stats["hits"], stats["misses"], stats["total_requests"]) == (3, 1, 5)


def test_an_idle_larder(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    r = run_cli("stats", "-c", proxy.conf_path)
    assert r.returncode == 0 and "requests    0" in r.stdout and "nan" not in r.stdout.lower()
