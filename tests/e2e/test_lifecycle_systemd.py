"""systemd: inherited sockets, readiness, reload and stop notifications, the watchdog."""

import os
import socket
import subprocess
import sys

import pytest

from lib.larder import binary
from lib.ports import free_port
from lib.raw import RawClient
from lib.wait import eventually

# Sets LISTEN_PID, which only the process itself knows, and becomes larder.
EXEC = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"


class Manager:
    """What systemd is for the service: NOTIFY_SOCKET and passed sockets."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(10)
        self.said = []
        self.process = None
        self.stderr_path = folder / "stderr"

    def start(self, conf, sockets=(), **env):
        def place():
            for i, s in enumerate(sockets):
                os.dup2(s.fileno(), 3 + i)
        env = dict(os.environ, NOTIFY_SOCKET=self.path, **{k: str(v) for k, v in env.items()})
        if sockets:
            env["LISTEN_FDS"] = str(len(sockets))
        with open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", EXEC, binary(), "run", "-c", str(conf)],
                pass_fds=tuple(range(3, 3 + len(sockets))), preexec_fn=place, env=env,
                stdout=subprocess.DEVNULL, stderr=err)
        return self.process

    def wait(self, word):
        """Reads notifications until one holds the word; returns it."""
        while True:
            text = self.sock.recv(4096).decode()
            self.said.append(text)
            if word in text:
                return text

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(15) if self.process is not None else 0
        self.sock.close()
        assert code == 0, self.stderr_path.read_text()


@pytest.fixture
def manager(tmp_path):
    m = Manager(tmp_path)
    yield m
    m.stop()


def write_conf(tmp_path, origin, port, extra=""):
    path = tmp_path / "larder.conf"
    path.write_text(f"listen 127.0.0.1:{port}\nupstream main {origin.url}\n"
                    "defaults { upstream main }\nworkers 3\n" + extra)
    return path


def listening(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(128)
    return s


def test_ready_reloading_stopping(manager, origin, tmp_path):
    port = free_port()
    conf = write_conf(tmp_path, origin, port)
    manager.start(conf)
    manager.wait("READY=1")
    with RawClient(port) as c:
        assert c.get("/x").status == 200
    assert "listening on" in "".join(manager.said)
    manager.process.send_signal(1)
    assert "MONOTONIC_USEC=" in manager.wait("RELOADING=1")
    manager.wait("READY=1")
    conf.write_text("nonsense\n")
    manager.process.send_signal(1)
    manager.wait("RELOADING=1")
    manager.wait("READY=1")
    manager.process.terminate()
    manager.wait("STOPPING=1")


def test_an_inherited_socket_is_used_and_survives_a_restart(manager, origin, tmp_path):
    port = free_port()
    conf = write_conf(tmp_path, origin, port)
    with listening(port) as s:
        manager.start(conf, [s])
        manager.wait("READY=1")
        for _ in range(20):
            with RawClient(port) as c:
                assert c.get("/x").status == 200
        manager.process.terminate()
        assert manager.process.wait(10) == 0
        # Nobody runs, and a client is not refused: it waits for the next one.
        with RawClient(port) as c:
            c.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            manager.start(conf, [s])
            assert c.read_response().status == 200


def test_inherited_sockets_do_not_burn_cpu(manager, origin, tmp_path):
    """All workers are woken for one connection; those that come late must go back to sleep."""
    port = free_port()
    with listening(port) as s:
        manager.start(write_conf(tmp_path, origin, port), [s])
        manager.wait("READY=1")
        with RawClient(port) as c:
            assert c.get("/x").status == 200

            def cpu():
                with open(f"/proc/{manager.process.pid}/stat") as f:
                    return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
            before = cpu()
            assert c.quiet(0.7)
            assert cpu() - before <= 5  # hundredths of a second


def test_an_inherited_socket_stays_over_a_reload(manager, origin, tmp_path):
    port = free_port()
    conf = write_conf(tmp_path, origin, port)
    with listening(port) as s:
        manager.start(conf, [s])
        manager.wait("READY=1")
        for _ in range(3):
            manager.process.send_signal(1)
            manager.wait("RELOADING=1")
            manager.wait("READY=1")
            with RawClient(port) as c:
                assert c.get("/x").status == 200


def test_a_socket_that_no_listen_names_is_closed(manager, origin, tmp_path):
    port, other = free_port(), free_port()
    with listening(other) as s:
        manager.start(write_conf(tmp_path, origin, port), [s])
        manager.wait("READY=1")
    eventually(lambda: f"127.0.0.1:{other}" in manager.stderr_path.read_text())
    with pytest.raises(ConnectionRefusedError):
        RawClient(other)
    with RawClient(port) as c:
        assert c.get("/x").status == 200


def test_watchdog(manager, origin, tmp_path):
    manager.start(write_conf(tmp_path, origin, free_port()), WATCHDOG_USEC=400000)
    manager.wait("READY=1")
    for _ in range(3):
        manager.wait("WATCHDOG=1")
