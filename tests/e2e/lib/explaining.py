"""Asks a proxy what it would do, has it done, and compares."""

import json
import socket

from .cache import cache_status
from .raw import fetch
from .wait import eventually

ADMIN = "admin 127.0.0.1:%ADMIN%\n"
_ready = set()


def ask(proxy, path, body=None, method=None, token=None):
    """One admin call; the answer's JSON. The proxy's values hold the port as `admin`."""
    headers = [("Authorization", f"Bearer {token}")] if token else []
    if body is not None:
        headers.append(("Content-Type", "application/json"))
        body = json.dumps(body).encode()
    method = method or ("POST" if body is not None else "GET")
    admin = proxy.values["admin"]
    if admin not in _ready:  # it listens a moment after the data port
        eventually(lambda: socket.create_connection(("127.0.0.1", admin)).close() is None, 15,
                   "the admin plane")
        _ready.add(admin)
    answer = fetch(admin, method, path, headers, body or b"", timeout=20)
    assert answer.status == 200, (answer.status, answer.body)
    return answer.json()


def explain(proxy, target, headers=(), method="GET", body="", **more):
    question = {"method": method, "target": target, "headers": [list(h) for h in headers], **more}
    if body:
        question["body"] = body
    if not any(h[0].lower() == "host" for h in headers):
        question["headers"].append(["Host", "localhost"])  # as lib.raw sends it
    return ask(proxy, "/explain", question)


def live(proxy, target, headers=(), method="GET", body=""):
    """(outcome, reason, status) of a real answer, in explain's words."""
    answer = proxy.request(method, target, list(headers), body.encode())
    status = cache_status(answer)
    if answer.x_cache is None:
        return "OWN", status.get("detail", "-"), answer.status
    return answer.x_cache, status.get("detail", "-"), answer.status


def as_explained(proxy, target, headers=(), method="GET", body="", answer=None):
    """The live request does what was explained just before; returns the explanation.

    `answer`: the reason that only the origin's answer brings, instead of the one explained.
    """
    said = explain(proxy, target, headers, method, body)
    again = explain(proxy, target, headers, method, body)
    for tier in ("l1", "l2"):  # may have grown older meanwhile
        for moving in ("age_seconds", "ttl_seconds"):
            said[tier].pop(moving, None)
            again[tier].pop(moving, None)
    for moving in ("would",):
        again.pop(moving)
    assert again == {k: v for k, v in said.items() if k != "would"}, "explaining changed something"
    outcome, reason, status = live(proxy, target, headers, method, body)
    assert (outcome, reason) == (said["outcome"], answer or said["reason"]), said
    if said["status"] is not None:  # Larder's own, or the stored answer's
        assert status == said["status"], said
    assert said["reason_help"] and said["would"], said
    return said
