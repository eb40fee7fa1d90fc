"""Starts tools/racer (origin, clients and judge in one C process) and compiles it if need be.

    racer = Racer(folder, nodes=[a.port, b.port], origin_port=port, seed=1, max_lag=1000)
    racer.start()
    …                        # faults
    racer.figures()          # up to now
    figures = racer.stop()   # {"pairs": …, "violations": 0, "first": […], …}
    racer.behind()           # how many resources are not the newest on some node
"""

import fcntl
import glob
import json
import os
import shutil
import subprocess

from .larder import REPO, binary

FOLDER = os.path.join(REPO, "tests", "e2e", "tools")
CFLAGS = ("-std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -Wcast-qual -Wmissing-prototypes"
          " -Wstrict-prototypes -Wwrite-strings -Werror -pthread").split()


def compiled():
    """Path of the program, beside the proxy under test; made anew when a source is newer."""
    sources = sorted(glob.glob(os.path.join(FOLDER, "*.[ch]")))
    program = os.path.join(os.path.dirname(binary()), "e2e", "racer")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    with open(program + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program) or any(
                os.path.getmtime(s) > os.path.getmtime(program) for s in sources):
            subprocess.run([*os.environ.get("CC", "gcc").split(), *CFLAGS, "-o", program,
                            *(s for s in sources if s.endswith(".c"))], check=True)
    return program


def selftest():
    """Does the judge find what it has to find? subprocess.CompletedProcess."""
    return subprocess.run([compiled(), "selftest"], capture_output=True, text=True, timeout=60)


class Racer:
    """Options as in tools/racer.c."""

    def __init__(self, folder, nodes, origin_port, **options):
        arguments = [f"origin={origin_port}"] + [f"node={port}" for port in nodes]
        arguments += [f"{name}={value}" for name, value in options.items()]
        self._log = open(os.path.join(str(folder), "racer.stderr"), "w+", encoding="utf-8")
        setpriv = shutil.which("setpriv")
        self._process = subprocess.Popen(
            ([setpriv, "--pdeathsig", "KILL"] if setpriv else []) + [compiled(), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True)

    def _ask(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"racer ended, exit code {self._process.wait(5)}: {self.log()}")
        return line.strip()

    def log(self):
        self._log.flush()
        with open(self._log.name, encoding="utf-8") as f:
            return f.read()

    def start(self):
        assert self._ask("start") == "started"

    def figures(self):
        return json.loads(self._ask("figures"))

    def stop(self):
        return json.loads(self._ask("stop"))

    def behind(self):
        return int(self._ask("check"))

    def close(self):
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()
