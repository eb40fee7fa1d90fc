"""Starts the proxy under test and watches how it ends."""

import json
import os
import re
import signal
import socket

from .ports import free_port
from .process import Process, wait_ready
from .raw import RawClient, fetch
from .wait import eventually

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
SANITIZER = re.compile(r"(ERROR|WARNING): (Address|Thread|Leak|Memory)Sanitizer|runtime error:")


def binary():
    """The proxy under test: LARDER_BIN, or build/larder of this tree."""
    path = os.environ.get("LARDER_BIN") or os.path.join(REPO, "build", "larder")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is not there: run `make` first, or set LARDER_BIN")
    return path


def fill(conf, values):
    """Replaces %NAME% by values["name"]; an unknown %NAME% is an error of the test.

    Percent-encoded bytes (%C3%A9) are left alone.
    """
    def value(match):
        name = match.group(1).lower()
        if name not in values:
            raise KeyError(f"the configuration wants %{match.group(1)}%, the test did not give it")
        return str(values[name])
    return re.sub(r"%(?![0-9A-F]{2}%)([A-Z][A-Z0-9_]*)%", value, conf)


def run_cli(*args, env=None, input=None, timeout=30):
    """Runs `larder ARGS…` to its end: subprocess.CompletedProcess with text output."""
    import subprocess
    result = subprocess.run([binary(), *map(str, args)], env=dict(os.environ, **(env or {})),
                            input=input, capture_output=True, text=True, timeout=timeout,
                            **({} if input is not None else {"stdin": subprocess.DEVNULL}))
    assert not SANITIZER.search(result.stderr), result.stderr
    return result


class Larder:
    """One running proxy. `port` is its first listener's; `conf_path` its configuration file."""

    def __init__(self, folder, conf, env=None, args=(), name="larder", wait=True, **values):
        self.folder = str(folder)
        self.values = dict(values)
        self.port = self.values.setdefault("port", free_port())
        self.values.setdefault("dir", self.folder)
        self.conf_path = os.path.join(self.folder, f"{name}.conf")
        self.write_conf(conf)
        sanitizer = {
            "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1",
        }
        sanitizer = {k: v for k, v in sanitizer.items() if k not in os.environ}
        self._stopped = False
        log = os.path.join(self.folder, f"{name}.stderr")
        self._log_from = os.path.getsize(log) if os.path.exists(log) else 0  # an earlier one's
        self.process = Process([binary(), "run", "-c", self.conf_path, *args], self.folder, name,
                               env={**sanitizer, **(env or {})}, cwd=self.folder)
        if wait:
            try:
                wait_ready(self.process, self.accepts, timeout=20)
            except AssertionError:
                self.kill()
                raise

    # ---- configuration

    def write_conf(self, conf):
        """Writes the file, %NAME% replaced; without a `listen` it gets one for our port."""
        text = fill(conf, self.values)
        if not re.search(r"^\s*listen\b", text, re.M):
            text = f"listen 127.0.0.1:{self.port}\n{text}"
        with open(self.conf_path, "w", encoding="utf-8") as f:
            f.write(text)

    def reload(self, conf=None, wait=r"reload", **values):
        """SIGHUP, after writing a new file if one is given; waits until the log speaks of it.

        `wait` is a regular expression looked for in the new part of stderr (None: do not wait).
        Returns that new part.
        """
        self.values.update(values)
        if conf is not None:
            self.write_conf(conf)
        before = len(self.stderr())
        self.signal(signal.SIGHUP)
        if wait is not None:
            eventually(lambda: re.search(wait, self.stderr()[before:], re.I), 10,
                       f"{wait!r} in the log after SIGHUP")
        return self.stderr()[before:]

    # ---- talking to it

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def accepts(self):
        """True when somebody accepts on the port."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def raw(self, **kw):
        """A RawClient connected to it."""
        return RawClient(kw.pop("port", self.port), **kw)

    def request(self, method, target, headers=(), body=b"", **kw):
        """One request on a connection of its own."""
        return fetch(self.port, method, target, headers, body, **kw)

    def get(self, target, headers=(), **kw):
        return self.request("GET", target, headers, **kw)

    def post(self, target, body=b"", headers=(), **kw):
        return self.request("POST", target, headers, body, **kw)

    # ---- what it says and is

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.alive()

    def running(self):
        """Has it said that it listens?"""
        with open(self.process.stderr_path, "rb") as f:
            f.seek(self._log_from)
            return b", listening on " in f.read()

    def stderr(self):
        return self.process.stderr()

    def stdout(self):
        return self.process.stdout()

    def access_log(self, n=0, timeout=5.0):
        """The access log's JSON lines as dicts; waits until there are at least n."""
        def lines():
            return [json.loads(line) for line in self.stdout().splitlines(True)
                    if line.startswith("{") and line.endswith("\n")]
        if n:
            eventually(lambda: len(lines()) >= n, timeout, f"{n} lines in the access log")
        return lines()

    def rss(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self):
        """CPU seconds used so far."""
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        """Number of open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def clients(self, port=None):
        """Number of client connections (TCP) that it holds open on its port."""
        wanted, held = f":{port or self.port:04X}", 0
        for name in ("tcp", "tcp6"):
            with open(f"/proc/{self.pid}/net/{name}") as f:
                for line in f.readlines()[1:]:
                    row = line.split()
                    # 0A: listening; without an inode nobody holds it any more.
                    held += row[1].endswith(wanted) and row[3] != "0A" and row[9] != "0"
        return held

    @property
    def sanitized(self):
        """Built with a sanitizer? Memory figures mean little then."""
        with open(f"/proc/{self.pid}/maps") as f:
            return re.search(r"lib[at]san", f.read()) is not None

    # ---- the end

    def signal(self, sig):
        self.process.signal(sig)

    def wait(self, timeout=15):
        """Waits until it ends by itself and returns the exit code."""
        code = self.process.wait(timeout)
        self._stopped = True
        return code

    def kill(self):
        """SIGKILL, as a crash would; teardown then asks no exit code."""
        if self.process.alive():
            self.process.popen.kill()
        self.process.popen.wait()
        self._stopped = True

    def stop(self, timeout=15):
        """SIGTERM; returns the exit code."""
        code = self.process.stop(timeout=timeout)
        self._stopped = True
        return code

    def finish(self):
        """Teardown: unless the test ended it, SIGTERM must end it with 0; no sanitizer report."""
        crashed = not self._stopped and not self.process.alive()
        code = 0 if self._stopped else self.process.stop()
        if crashed:
            raise AssertionError(f"larder ended during the test\n{self.process.describe()}")
        if SANITIZER.search(self.stderr()):
            raise AssertionError(f"sanitizer report\n{self.stderr()}")
        if code != 0:
            raise AssertionError(f"exit code {code} after SIGTERM\n{self.process.describe()}")
