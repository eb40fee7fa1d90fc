"""The suite as a library: its origin, its client, what their results mean, the baseline."""

import collections
import json
import os
import re
import subprocess

from lib.process import Process, wait_ready

HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, "baseline.json")
KINDS = ("required", "optimal", "check")
CLIENT_SECONDS = 180

# outcome: pass | fail (required, optimal), yes | no (check: neither is better), setup (the test
# could not be carried out), dependency (what it builds upon does not pass).
Result = collections.namedtuple("Result", "kind outcome why")


class Origin:
    """The suite's origin server in a process of its own."""

    def __init__(self, folder):
        self.process = Process(["node", "--no-warnings", os.path.join(HERE, "origin.mjs"), folder],
                               folder, "origin")
        self.port = None
        wait_ready(self.process, self._listening, timeout=20)

    def _listening(self):
        found = re.search(r"Listening on http://127\.0\.0\.1:(\d+)/", self.process.stdout())
        self.port = int(found.group(1)) if found else None
        return self.port is not None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stop()


def read_json(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return json.load(f)


def run(port, only=None):
    """The suite against the proxy on this port: {id: Result}."""
    command = ["node", "--no-warnings", os.path.join(HERE, "client.mjs"),
               f"http://127.0.0.1:{port}", json.dumps(sorted(read_json("excluded.json")))]
    done = subprocess.run(command + ([only] if only else []), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=CLIENT_SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"conformance: the suite's client ended with {done.returncode}")
    shown, _, report = done.stdout.rstrip("\n").rpartition("\n")
    if shown:
        print(shown)
    tests = json.loads(report)
    return {name: judge(tests, name) for name in tests}


def passed(tests, name):
    """Does it pass, and all that it builds upon? What is left out counts as passed."""
    test = tests.get(name)
    return test is None or (test["result"] is True and
                            all(passed(tests, need) for need in test["needs"]))


def judge(tests, name):
    """As the suite's own display has it: a test counts only if what it builds upon passes."""
    test = tests[name]
    check = test["kind"] == "check"
    if not all(passed(tests, need) for need in test["needs"]):
        return Result(test["kind"], "dependency", f"needs {', '.join(test['needs'])}")
    if test["result"] is True:
        return Result(test["kind"], "yes" if check else "pass", "")
    what, why = test["result"] or ["Harness", "no result"]
    if what == "Setup":
        return Result(test["kind"], "setup", why)
    return Result(test["kind"], "no" if check else "fail", why)


def score(results):
    """{kind: (passed or yes, all)}"""
    return {kind: (sum(r.outcome in ("pass", "yes") for r in results.values() if r.kind == kind),
                   sum(r.kind == kind for r in results.values())) for kind in KINDS}


def score_line(name, results):
    return f"{name}: " + ", ".join(f"{kind} {got} of {total}"
                                   for kind, (got, total) in score(results).items())


def read_baseline():
    """{id: outcome}"""
    kinds = read_json("baseline.json")
    return {name: outcome for kind in KINDS for name, outcome in kinds[kind].items()}


def write_baseline(results):
    kinds = {kind: {name: r.outcome for name, r in sorted(results.items()) if r.kind == kind}
             for kind in KINDS}
    with open(BASELINE, "w", encoding="utf-8") as f:
        f.write(json.dumps(kinds, indent=1) + "\n")
