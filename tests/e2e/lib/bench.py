"""The benchmark's programs for tests that want more requests than Python can make: bench/load
(asks as fast as it is answered, checks each answer) and bench/origin (paths end in /LENGTH).

    with BenchOrigin() as origin, Bench(proxy.port, "/a/{n}/16", names=100) as load:
        …                                  # until it is stopped
        assert load.stop()["errors"] == 0
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess

from .larder import REPO, binary
from .ports import free_port
from .wait import eventually

FOLDER = os.path.join(REPO, "bench")
SOURCES = {"load": ("load.c", "load_args.c", "net.c"), "origin": ("origin.c", "net.c")}
LONGEST_MS = 60000


def compiled(name):
    """Path of a program, beside the proxy under test; made anew when a source is newer."""
    sources = [os.path.join(FOLDER, s) for s in SOURCES[name]]
    read = sources + [os.path.join(FOLDER, h) for h in os.listdir(FOLDER) if h.endswith(".h")]
    program = os.path.join(os.path.dirname(binary()), "e2e", "bench-" + name)
    os.makedirs(os.path.dirname(program), exist_ok=True)
    with open(program + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program) or any(
                os.path.getmtime(r) > os.path.getmtime(program) for r in read):
            subprocess.run([*os.environ.get("CC", "gcc").split(), "-std=c11", "-D_GNU_SOURCE", "-O2",
                            "-o", program, *sources], check=True)
    return program


class Program:
    def __init__(self, name, *args):
        setpriv = shutil.which("setpriv")
        self._process = subprocess.Popen(
            ([setpriv, "--pdeathsig", "KILL"] if setpriv else []) + [compiled(name), *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def runs(self):
        return self._process.poll() is None


class BenchOrigin(Program):
    """An origin whose answers may be stored for an hour."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__("origin", self.port)
        eventually(self._accepts, 15, "the origin listens")

    def _accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        except ConnectionRefusedError:
            return False


class Bench(Program):
    """Load until stop(), or `count` requests and then wait(); options as in bench/load_args.c."""

    def __init__(self, port, path, count=None, **options):
        args = ["--port", port, "--path", path]
        args += ["--ms", LONGEST_MS] if count is None else ["--count", count]
        for name, value in options.items():
            args += ["--" + name.replace("_", "-"), value]
        super().__init__("load", *args)

    def stop(self):
        """What it did: {"requests": …, "errors": …, "first_error": "…", "sent": …, …}."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        out, _ = self._process.communicate(timeout=LONGEST_MS / 1000)
        return json.loads(out)
