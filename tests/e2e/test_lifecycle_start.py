"""Start: what is said, what refuses it, the pid file, no file at all."""

import errno
import os
import re
import signal
import socket
import time

import pytest

from lib.larder import binary, run_cli
from lib.ports import free_port
from lib.process import Process, wait_ready
from lib.raw import RawClient, fetch
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET /a { upstream main; scope public; ttl 1m }
"""


def test_one_line_says_what_runs(larder, origin):
    proxy = larder("workers 3\n" + CONF, origin=origin.url)
    line = eventually(lambda: re.search(r"larder \d+\.\d+\.\d+: .*", proxy.stderr()))[0]
    assert "3 workers, 1 route, listening on" in line and f"127.0.0.1:{proxy.port}" in line
    assert len(proxy.stderr().splitlines()) == 1


def test_workers_default_to_the_cpus(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    cpus = len(os.sched_getaffinity(0))
    eventually(lambda: f"{min(cpus, 64)} worker" in proxy.stderr())


def test_port_in_use_is_one_clear_line(larder, origin, tmp_path):
    proxy = larder(CONF, origin=origin.url)
    r = run_cli("run", "-c", proxy.conf_path)
    assert r.returncode == 1
    assert len(r.stderr.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1:{proxy.port}" in r.stderr and "in use" in r.stderr
    assert proxy.get("/a").status == 200


def test_bad_configuration_prints_the_report(tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text("listen 127.0.0.1:8080\nupstrem main http://127.0.0.1:1\n")
    r = run_cli("run", "-c", path)
    assert r.returncode == 1 and "bad.conf:2" in r.stderr and "upstream" in r.stderr


def test_missing_certificate_is_one_clear_line(tmp_path):
    path = tmp_path / "tls.conf"
    path.write_text(f"listen 127.0.0.1:{free_port()} tls\ntls {tmp_path}/no.crt {tmp_path}/no.key\n"
                    "upstream main http://127.0.0.1:1\n")
    r = run_cli("run", "-c", path)
    assert r.returncode == 1 and "no.crt" in r.stderr


def test_unwritable_log_is_one_clear_line(tmp_path):
    path = tmp_path / "log.conf"
    path.write_text(f"listen 127.0.0.1:{free_port()}\nlog {tmp_path}/absent/access.log\n"
                    "upstream main http://127.0.0.1:1\n")
    r = run_cli("run", "-c", path)
    assert r.returncode == 1 and "absent/access.log" in r.stderr
    assert len(r.stderr.splitlines()) == 1


def test_unwritable_pid_file_ends_the_start(tmp_path):
    port = free_port()
    path = tmp_path / "pid.conf"
    path.write_text(f"listen 127.0.0.1:{port}\npid_file {tmp_path}/absent/pid\n"
                    "upstream main http://127.0.0.1:1\n")
    r = run_cli("run", "-c", path)
    assert r.returncode == 1 and "pid file" in r.stderr


def test_pid_file_lives_as_long_as_the_process(larder, origin, tmp_path):
    proxy = larder(f"pid_file {tmp_path}/run.pid\n" + CONF, origin=origin.url)
    pid_file = tmp_path / "run.pid"
    eventually(lambda: pid_file.read_text() == f"{proxy.pid}\n")
    assert proxy.stop() == 0
    assert not pid_file.exists()


def test_pid_file_of_a_successor_stays(larder, origin, tmp_path):
    proxy = larder(f"pid_file {tmp_path}/run.pid\n" + CONF, origin=origin.url)
    eventually((tmp_path / "run.pid").exists)
    (tmp_path / "run.pid").write_text("999999\n")
    assert proxy.stop() == 0
    assert (tmp_path / "run.pid").read_text() == "999999\n"


def test_without_a_file(origin, tmp_path):
    port = free_port()
    origin.route("/declared", lambda x: x.answer(200, b"c", {"Cache-Control": "max-age=60"}))
    process = Process([binary(), "run", "--upstream", origin.url, "--listen", f"127.0.0.1:{port}"],
                      str(tmp_path), "bare", cwd=str(tmp_path))
    try:
        wait_ready(process, lambda: socket.create_connection(("127.0.0.1", port), 1), 20)
        with RawClient(port) as c:
            assert [c.get("/declared").x_cache for _ in range(2)] == ["MISS", "HIT"]
            first, second = c.get("/other"), c.get("/other")
            assert first.body != second.body and second.x_cache != "HIT"
        assert fetch(port, "POST", "/declared", body=b"x").status == 200
    finally:
        assert process.stop() == 0


def test_default_file_is_proxy_conf_of_the_folder(origin, tmp_path):
    port = free_port()
    (tmp_path / "proxy.conf").write_text(
        f"listen 127.0.0.1:{port}\nupstream main {origin.url}\ndefaults {{ upstream main }}\n")
    process = Process([binary(), "run"], str(tmp_path), "bare", cwd=str(tmp_path))
    try:
        wait_ready(process, lambda: fetch(port, "GET", "/x").status == 200, 20)
    finally:
        assert process.stop() == 0


def test_idle_process_uses_no_cpu(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    idle = [proxy.raw() for _ in range(20)]
    before = proxy.cpu()
    with proxy.raw() as c:
        assert c.get("/a").status == 200
        assert c.quiet(1.5)
    assert proxy.cpu() - before <= 0.1
    for c in idle:
        c.close()


def test_descriptors_do_not_leak(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    before = eventually(proxy.fds)
    for i in range(200):
        with proxy.raw() as c:
            if i % 3:
                assert c.get("/a").status == 200
            if i % 5 == 0:
                c.reset()
    eventually(lambda: proxy.fds() <= before + 2)


# ---- signals before the start is complete


@pytest.fixture
def early(tmp_path, origin):
    """(the process, port, a function that lets it read its configuration): it waits in the middle
    of its start, for a file that is a pipe; a reload finds a file."""
    port, path = free_port(), str(tmp_path / "pipe.conf")
    text = f"listen 127.0.0.1:{port}\nupstream main {origin.url}\n"
    os.mkfifo(path)
    process = Process([binary(), "run", "-c", path], str(tmp_path), "larder")

    def write():
        def opened():
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as e:  # ENXIO: nobody reads
                assert e.errno == errno.ENXIO
        fd = eventually(opened, 15, "the configuration is read")
        (tmp_path / "file.conf").write_text(text)
        os.replace(tmp_path / "file.conf", path)
        os.write(fd, text.encode())
        os.close(fd)

    yield process, port, write
    process.stop()


def blocked(process, sig):
    """Has main() begun? Before that a signal is the kernel's business."""
    with open(f"/proc/{process.pid}/status") as f:
        mask = int(re.search(r"^SigBlk:\s*(\w+)", f.read(), re.M)[1], 16)
    return mask >> (sig - 1) & 1


def test_a_reload_that_is_asked_for_too_early_comes_later(early):
    process, port, write = early
    eventually(lambda: blocked(process, signal.SIGHUP), 15)
    for _ in range(20):
        process.signal(signal.SIGHUP)
        process.signal(signal.SIGUSR1)
    write()
    eventually(lambda: "reload done" in process.stderr(), 15)
    assert process.alive() and process.stderr().count("reload") == 1
    assert fetch(port, "GET", "/a").status == 200


def test_an_end_that_is_asked_for_too_early(early):
    """Nothing has begun: no line, no file, no socket."""
    process, port, _ = early
    eventually(lambda: blocked(process, signal.SIGHUP), 15)
    process.signal(signal.SIGTERM)
    assert process.wait(15) == -signal.SIGTERM
    assert process.stderr() == ""


@pytest.mark.parametrize("sig", [signal.SIGHUP, signal.SIGTERM])
def test_signals_at_any_moment_of_the_start(larder, origin, sig):
    """From the first instruction of main() on."""
    for step in range(8):
        proxy = larder(CONF, origin=origin.url, wait=False)
        eventually(lambda: blocked(proxy.process, signal.SIGHUP), 15, interval=0.0005)
        time.sleep(step * 0.002)
        for _ in range(5 if sig == signal.SIGHUP else 1):
            proxy.signal(sig)
        if sig == signal.SIGHUP:
            eventually(proxy.running, 15)
            eventually(lambda: "reload done" in proxy.stderr(), 15)
            assert proxy.get("/a").status == 200
            assert proxy.stop() == 0
        else:
            assert proxy.wait() in (0, -signal.SIGTERM)
