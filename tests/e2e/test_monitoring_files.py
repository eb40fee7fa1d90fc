"""conf/alerts.yml and conf/grafana-dashboard.json: they parse, and speak of metrics and labels
that a running larder has."""

import json
import os
import re
import shutil
import subprocess
import urllib.request

import pytest
import yaml

from lib.larder import REPO
from lib.origin import answer
from lib.ports import free_port
from lib.wait import eventually

ALERTS = os.path.join(REPO, "conf", "alerts.yml")
GRAFANA = os.path.join(REPO, "conf", "grafana-dashboard.json")
RECORDED = re.compile(r"\blarder:\w+(?::\w+)*")
METRIC = re.compile(r"\b(?:larder|process)_[a-z0-9_]+")
SELECTOR = re.compile(r"\b((?:larder|process)_[a-z0-9_]+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GIVEN = {"job", "instance", "le"}  # Prometheus adds these


def expressions():
    """Every PromQL expression with where it stands."""
    with open(ALERTS, encoding="utf-8") as f:
        for group in yaml.safe_load(f)["groups"]:
            for rule in group["rules"]:
                yield f"alerts.yml {rule.get('alert') or rule['record']}", rule["expr"]
    with open(GRAFANA, encoding="utf-8") as f:
        board = json.load(f)
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield f"grafana {panel['title']}", target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"grafana ${variable['name']}", variable["definition"]


@pytest.fixture
def metrics(larder, origin, redis):
    """name -> set of label names, of a larder that has served something of everything."""
    admin, dead = free_port(), free_port()
    origin.default = answer(200, b"x")
    proxy = larder("""
admin 127.0.0.1:%ADMIN%
redis %REDIS% prefix=mon
upstream main %UP%
upstream dead http://127.0.0.1:%DEAD%
defaults { upstream main }
route GET /c { ttl 1h; scope public; key c }
route POST /c { invalidate c }
route GET /dead { upstream dead }
""", admin=admin, redis=redis.url, up=origin.url, dead=dead)
    eventually(lambda: proxy.get("/c").x_cache == "HIT", 20)
    for method, target in (("POST", "/c"), ("GET", "/c"), ("GET", "/dead")):
        proxy.request(method, target)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def scrape():
        with opener.open(f"http://127.0.0.1:{admin}/metrics", timeout=20) as response:
            found = {}
            for line in response.read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, _, rest = re.match(r"([^ {]+)(\{(.*)\})?", line).groups()
                    found.setdefault(name, set()).update(LABEL.findall(rest or ""))
            # Some are there only once the journal has been proved current.
            assert "larder_journal_lag_seconds" in found and "larder_errors_total" in found
            return found
    return eventually(scrape, 20)


def test_metrics_exist(metrics):
    with open(ALERTS, encoding="utf-8") as f:
        recorded = {r["record"] for g in yaml.safe_load(f)["groups"] for r in g["rules"] if "record" in r}
    count = 0
    for where, expr in expressions():
        count += 1
        assert set(RECORDED.findall(expr)) <= recorded, where
        for name in METRIC.findall(expr):
            assert name in metrics, f"{where}: {name} is no metric"
        for name, labels in SELECTOR.findall(expr):
            for label in LABEL.findall(labels):
                assert label in metrics[name] | GIVEN, f"{where}: {name} has no label {label}"
        for labels in re.findall(r"\bby \(([^)]*)\)", expr):
            known = set().union(GIVEN, *(metrics[n] for n in METRIC.findall(expr)))
            assert {x.strip() for x in labels.split(",")} <= known, where
    assert count > 30


def test_the_board_is_sound():
    with open(GRAFANA, encoding="utf-8") as f:
        board = json.load(f)
    ids = [p["id"] for p in board["panels"]]
    assert len(ids) == len(set(ids))
    names = {v["name"] for v in board["templating"]["list"]}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel.get("targets", ()):
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval", "__range"}
            assert used <= names, panel["title"]
    with open(GRAFANA, encoding="utf-8") as f:
        assert "http://" not in f.read()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool of Debian's prometheus is not here")
def test_promtool():
    result = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
