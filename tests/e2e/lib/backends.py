"""Starts the real applications of tests/backends, each on a free loopback port."""

import os
import shutil

from .larder import REPO
from .ports import free_port
from .process import Process, wait_ready
from .raw import fetch

FOLDER = os.path.join(REPO, "tests", "backends")
PYTHON = os.environ.get("BACKEND_PYTHON", "/usr/bin/python3")


def _flask(port):
    # One process, so that the counters are one; a real server with threads and keep-alive.
    return [PYTHON, "-m", "gunicorn", "--workers", "1", "--threads", "16", "--keep-alive", "5",
            "--log-level=warning",
            "--bind", f"127.0.0.1:{port}", "app:app"]


def _fastapi(port):
    return [PYTHON, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port),
            "--log-level", "warning", "app:app"]


def _node(port):
    return [shutil.which("node") or "node", "app.js"]


COMMANDS = {"flask": _flask, "fastapi": _fastapi, "fastify": _node, "express": _node}


class Backend:
    """A running application. `port`, `url`; count() of requests since the last reset()."""

    def __init__(self, name, folder, env=None):
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = Process(COMMANDS[name](self.port), str(folder), f"{name}-{self.port}",
                               env={"PORT": self.port, "PYTHONDONTWRITEBYTECODE": "1",
                                    **(env or {})},
                               cwd=os.path.join(FOLDER, name))
        try:
            wait_ready(self.process,
                       lambda: fetch(self.port, "GET", "/_health", timeout=2).status == 200, 30)
        except AssertionError:
            self.stop()
            raise

    def count(self, path=None):
        """Requests answered since the last reset: all, or those for one path (no query)."""
        counts = fetch(self.port, "GET", "/_count").json()
        return counts["total"] if path is None else counts["paths"].get(path, 0)

    def reset(self):
        """Counters, serial numbers and data as at the start."""
        assert fetch(self.port, "POST", "/_reset").status == 200

    def get(self, target, headers=(), **kw):
        """Straight to the application, past Larder."""
        return fetch(self.port, "GET", target, headers, **kw)

    def request(self, method, target, headers=(), body=b"", **kw):
        return fetch(self.port, method, target, headers, body, **kw)

    def stop(self):
        self.process.stop(timeout=15)
