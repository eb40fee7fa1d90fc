"""Other caches before the same origin: how each is started and ended, and the table of scores.

Each runs in a folder of its own on a free loopback port, in the foreground, with the configuration
in peers/: what its own documentation offers to make it a shared cache that follows the origin.
"""

import datetime
import os
import platform
import re
import shutil
import socket
import subprocess

import suite
from lib.ports import free_port
from lib.process import Process, wait_ready

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
RESULTS = os.path.join(suite.HERE, "RESULTS.md")
START_SECONDS = 30


class Peer:
    """One other cache; subclasses say how its command line is made."""

    name = ""
    title = ""
    config = ""
    ask_version = "-v"

    def __init__(self):
        self.program = shutil.which(self.name, path=PATH)
        self.folder = ""
        self.port = self.origin_port = 0

    def version(self):
        said = subprocess.run([self.program, self.ask_version], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20, check=False).stdout
        found = re.search(r"\d+\.\d+(\.\d+)?", said)
        return found.group(0) if found else "?"

    def write(self, source, target):
        """A file of peers/ with its placeholders filled in; its path in the peer's folder."""
        with open(os.path.join(suite.HERE, "peers", source), encoding="utf-8") as f:
            text = f.read()
        for key, value in (("PORT", self.port), ("ORIGIN_PORT", self.origin_port),
                           ("DIR", self.folder)):
            text = text.replace(f"%{key}%", str(value))
        path = os.path.join(self.folder, target)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def command(self, conf):
        raise NotImplementedError

    def run(self, parent):
        """The suite's results with this cache before a fresh origin."""
        self.folder = os.path.join(parent, self.name)
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o777)  # some give up root before they write there
        with suite.Origin(self.folder) as origin:
            self.port, self.origin_port = free_port(), origin.port
            process = Process(self.command(self.write(self.config, self.config)), self.folder,
                              self.name, cwd=self.folder)
            try:
                wait_ready(process, self.answers, START_SECONDS)
                return suite.run(self.port)
            finally:
                process.stop()

    def answers(self):
        """Does it forward (the origin knows /state/x, with 404)? Some listen before that."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
            s.settimeout(2)
            s.sendall(b"GET /state/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return s.recv(100).startswith(b"HTTP/1.1 404")


class Nginx(Peer):
    name, title, config = "nginx", "nginx", "nginx.conf"

    def command(self, conf):
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        return [self.program, "-p", self.folder, "-e", f"{self.folder}/error.log", "-c", conf,
                *user]


class Varnish(Peer):
    name, title, config, ask_version = "varnishd", "Varnish", "varnish.vcl", "-V"

    def command(self, conf):
        return [self.program, "-F", "-n", f"{self.folder}/work", "-a", f"127.0.0.1:{self.port}",
                "-T", "none", "-f", conf, "-s", "malloc,64m", "-p", "default_ttl=0",
                "-p", "default_grace=0", "-p", "default_keep=3600"]


class HAProxy(Peer):
    name, title, config = "haproxy", "HAProxy", "haproxy.cfg"

    def command(self, conf):
        return [self.program, "-db", "-f", conf]


class Squid(Peer):
    name, title, config = "squid", "Squid", "squid.conf"

    def command(self, conf):
        return [self.program, "-N", "-f", conf]


class TrafficServer(Peer):
    name, title, config, ask_version = ("traffic_server", "Traffic Server",
                                        "trafficserver.config", "-V")

    def command(self, conf):
        """Its files are found through a runroot: one folder for all but the program."""
        folders = {name: os.path.join(self.folder, name)
                   for name in ("etc", "run", "log", "cache")}
        shutil.copytree("/etc/trafficserver", folders["etc"])
        for name in ("run", "log", "cache"):
            os.makedirs(folders[name], mode=0o777)
        shutil.move(conf, os.path.join(folders["etc"], "records.config"))
        self.fill(folders["etc"], "remap.config",
                  f"map / http://127.0.0.1:{self.origin_port}/\n")
        self.fill(folders["etc"], "storage.config", f"{folders['cache']} 64M\n")
        layout = {"prefix": "/usr", "exec_prefix": "/usr", "bindir": "/usr/bin",
                  "sbindir": "/usr/sbin", "sysconfdir": folders["etc"],
                  "datadir": folders["cache"], "libdir": "/usr/lib",
                  "libexecdir": "/usr/lib/trafficserver/modules",
                  "localstatedir": folders["run"], "runtimedir": folders["run"],
                  "logdir": folders["log"], "cachedir": folders["cache"]}
        self.fill(self.folder, "runroot.yaml",
                  "".join(f"{key}: {value}\n" for key, value in layout.items()))
        return [self.program, f"--run-root={self.folder}/runroot.yaml"]

    @staticmethod
    def fill(folder, name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)


ALL = (TrafficServer, Squid, Varnish, HAProxy, Nginx)


def larder_version():
    said = subprocess.run([os.environ["LARDER_BIN"], "version"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=20, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    return found.group(0) if found else "?"


def row(title, version, results):
    cells = [f"{got} / {total}" for got, total in suite.score(results).values()]
    return f"| {title} {version} | " + " | ".join(cells) + " |"


def table(folder, larder):
    """Runs every cache that is installed, prints the table and writes RESULTS.md."""
    lines = ["| Cache | required | optimal | check: yes |", "|---|---|---|---|"]
    print("\n".join(lines))
    lines.append(row("Larder", larder_version(), larder))
    print(lines[-1], flush=True)
    missing = []
    for kind in ALL:
        peer = kind()
        if peer.program is None:
            missing.append(peer.title)
            continue
        lines.append(row(peer.title, peer.version(), peer.run(folder)))
        print(lines[-1], flush=True)
    if missing:
        print(f"not installed, so not in RESULTS.md, which stays as it is: {', '.join(missing)}")
        return
    write_results(lines)


def write_results(lines):
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    with open(RESULTS, "w", encoding="utf-8") as f:
        f.write(f"""\
# Larder and its peers on the HTTP cache test suite

`make conformance` installs the packages, runs `http-cache-tests` 0.4.5 against each cache on the
loopback of one machine, and writes this file. Last run: {datetime.date.today()}, {system},
the distribution's packages, configured as in `peers/`.

""" + "\n".join(lines) + """

*Required* is what RFC 9110 and 9111 demand, *optimal* what a good cache does besides; a *check*
only tells which way a cache goes. What is left out, for all of them, is in `excluded.json`.
""")
