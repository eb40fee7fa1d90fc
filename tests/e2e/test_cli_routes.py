"""`larder routes`, `health` and `reload` through the admin plane."""

import json
import os

from lib.admin import start_admin
from lib.larder import run_cli
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
type dish { ttl 5m }
route GET /a/{id} { type dish; scope public; key a:{id} }
route GET /o { scope public; ttl origin }
route POST /a { invalidate a:* type:dish }
"""


def test_routes(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    r = run_cli("routes", "-c", proxy.conf_path)
    assert r.returncode == 0, r.stderr
    rows = {" ".join(line.split()[:2]): line.split()[2:] for line in r.stdout.splitlines()[1:]}
    assert rows["GET /a/{id}"][:5] == ["dish", "public", "5m", "-", "a:{id}"]
    assert rows["GET /o"][1:3] == ["public", "origin"]
    assert "not cached" in r.stdout and "a:* type:dish" in r.stdout
    routes = json.loads(run_cli("routes", "--json", "-c", proxy.conf_path).stdout)["routes"]
    assert {route["route"] for route in routes} == set(rows)


def test_health(larder, origin):
    proxy, _ = start_admin(larder, CONF, origin=origin.url)
    def healthy():
        r = run_cli("health", "-c", proxy.conf_path)
        return r.returncode == 0 and r.stdout.startswith("HEALTHY since ")
    eventually(healthy, 15)
    assert json.loads(run_cli("health", "--json", "-c", proxy.conf_path).stdout)[
        "status"] == "HEALTHY"
    r = run_cli("health", "-q", "--strict", "-c", proxy.conf_path)
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    assert proxy.stop() == 0
    r = run_cli("health", "-q", "-c", proxy.conf_path)
    assert r.returncode == 3 and "nothing listens" in r.stderr


def test_reload_waits_for_the_result(larder, origin):
    proxy, admin = start_admin(larder, CONF, origin=origin.url)
    proxy.write_conf(f"admin 127.0.0.1:{admin.port} token={admin.token}\n" + CONF +
                     "route GET /new { ttl 1m; scope public }\n")
    r = run_cli("reload", "-c", proxy.conf_path)
    assert r.returncode == 0 and "has reloaded" in r.stdout, r.stderr
    assert "/new" in run_cli("routes", "-c", proxy.conf_path).stdout


def test_reload_of_a_bad_file_changes_nothing(larder, origin):
    proxy, admin = start_admin(larder, CONF, origin=origin.url)
    proxy.write_conf(f"admin 127.0.0.1:{admin.port} token={admin.token}\nnonsense\n")
    r = run_cli("reload", "-c", proxy.conf_path)
    assert r.returncode == 1 and "nonsense" in r.stderr
    # The process finds the same, with every error on a line of its own.
    r = run_cli("reload", "--admin", f"127.0.0.1:{admin.port}", env={"LARDER_TOKEN": admin.token})
    assert r.returncode == 1 and "nonsense" in r.stderr and "nothing was reloaded" in r.stderr
    assert "\\x0a" not in r.stderr


def test_reload_by_pid_file_when_the_plane_is_elsewhere(larder, origin):
    """The file's new `admin` is not the address of the running process yet."""
    proxy = larder("pid_file %DIR%/larder.pid\n" + CONF, origin=origin.url)
    with_pid = os.path.join(proxy.folder, "larder.pid")
    eventually(lambda: open(with_pid).read().endswith("\n"), 15)
    proxy.write_conf("pid_file %DIR%/larder.pid\nadmin 127.0.0.1:1\n" + CONF)
    r = run_cli("reload", "-c", proxy.conf_path, env={"LARDER_TOKEN": ""})
    assert r.returncode == 0 and str(proxy.pid) in r.stdout, r.stderr
