"""What a proxy says of itself: /stats and /metrics, and a strict reader of the latter.

`metrics()` reads the page twice: by the rules of the text format written down here, which are
stricter than any scraper, and by the parser of prometheus_client (Debian's python3-prometheus-client).
Both must come to the same samples.
"""

import json
import math
import re

from prometheus_client.parser import text_string_to_metric_families

from .admin import Admin
from .ports import free_port
from .raw import fetch
from .wait import eventually

TOKEN = "0123456789abcdef0123456789abcdef"
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
                    r'(?:,(?!\}))?)+)\})? (-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


class Figures:
    """The admin plane of one proxy; `conf` is its line in proxy.conf."""

    def __init__(self):
        self.port = free_port()
        self.conf = f"admin 127.0.0.1:{self.port} token={TOKEN}"
        self._seen = False

    def get(self, target, status=200):
        if not self._seen:  # the data port may be open a moment before the admin address
            self._seen = eventually(Admin(self.port).accepts, 15, "the admin address is listened on")
        answer = fetch(self.port, "GET", target, {"Authorization": f"Bearer {TOKEN}"},
                       host=f"127.0.0.1:{self.port}", timeout=30)
        assert answer.status == status, answer
        return answer

    def json(self, target):
        answer = self.get(target)
        assert answer.header("content-type").startswith("application/json"), answer
        return json.loads(answer.body)

    def stats(self, requests=None):
        """GET /stats; with `requests`, once so many are counted (a request is counted a moment
        after its answer has come)."""
        if requests is None:
            return self.json("/stats")
        return eventually(lambda: (s := self.json("/stats"))["total_requests"] >= requests and s,
                          15, f"{requests} requests counted")

    def metrics(self):
        answer = self.get("/metrics")
        assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.body.decode("utf-8")
        samples, types = read_strictly(text)
        compare_with_prometheus(text, samples)
        return Metrics(samples, types)


class Metrics:
    """samples: {(name, ((label, value), …)): number}; types: {family: type}."""

    def __init__(self, samples, types):
        self.samples = samples
        self.types = types

    def all(self, name, **labels):
        """[(labels, value)] of the samples of this name that have these labels."""
        wanted = set(labels.items())
        return [(dict(got), value) for (n, got), value in self.samples.items()
                if n == name and wanted <= set(got)]

    def sum(self, name, **labels):
        return sum(value for _, value in self.all(name, **labels))


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), text)


def read_labels(text):
    labels, at = [], 0
    while text and at < len(text):
        match = LABEL.match(text, at)
        assert match, text
        labels.append((match.group(1), unescape(match.group(2))))
        at = match.end() + 1
    names = [n for n, _ in labels]
    assert len(names) == len(set(names)), f"a label twice: {text}"
    return tuple(sorted(labels))


def family_of(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if name.endswith(suffix) and types.get(base) == "histogram":
            return base
    return name


def read_strictly(text):
    """Each family: HELP, TYPE, its samples, nothing of it elsewhere; nothing twice."""
    samples, types, family = {}, {}, None
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    for line in text[:-1].split("\n"):
        words = line.split(" ", 3)
        if line.startswith("# HELP "):
            family = words[2]
            assert NAME.fullmatch(family) and family not in types and len(words[3]) > 10, line
            types[family] = None
        elif line.startswith("# TYPE "):
            assert words[2] == family and types[family] is None, line
            assert words[3] in ("counter", "gauge", "histogram"), line
            types[family] = words[3]
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"malformed: {line!r}"
            assert family_of(match.group(1), types) == family, f"out of place: {line!r}"
            key = (match.group(1), read_labels(match.group(2)))
            assert key not in samples, f"twice: {line!r}"
            samples[key] = float(match.group(3))
    for name, kind in types.items():
        assert kind, f"{name} has no TYPE"
        assert (kind == "counter") == name.endswith("_total"), name
        assert kind != "histogram" or name.endswith("_seconds"), name
    check_values(samples, types)
    check_histograms(samples, types)
    return samples, types


def check_values(samples, types):
    for (name, labels), value in samples.items():
        assert not math.isnan(value), name
        if types[family_of(name, types)] == "counter":
            assert value >= 0, (name, labels)


def check_histograms(samples, types):
    """Buckets rise with `le`, end in +Inf, which is the count."""
    series = {}
    for (name, labels), value in samples.items():
        base = family_of(name, types)
        if types[base] == "histogram":
            rest = tuple(pair for pair in labels if pair[0] != "le")
            part = series.setdefault((base, rest), {"buckets": []})
            if name.endswith("_bucket"):
                part["buckets"].append((float(dict(labels)["le"]), value))
            else:
                part[name.rpartition("_")[2]] = value
    for where, part in series.items():
        counts = [n for _, n in part["buckets"]]
        bounds = [le for le, _ in part["buckets"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == math.inf, where
        assert counts == sorted(counts) and counts[-1] == part["count"], (where, part)
        assert part["sum"] <= part["count"] * 1000, where


def compare_with_prometheus(text, samples):
    """The same page read by the official client library's parser."""
    seen = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            seen[(sample.name, tuple(sorted(sample.labels.items())))] = sample.value
    assert seen == samples
