"""The command line: subcommands, wrong arguments, exit codes."""

import json

import pytest

from lib.larder import run_cli
from lib.wait import eventually

GOOD = """
listen 127.0.0.1:8080
upstream main http://127.0.0.1:9
route GET /a { upstream main; scope public; ttl 1m }
"""


@pytest.fixture
def conf(tmp_path):
    def write(text):
        path = tmp_path / "proxy.conf"
        path.write_text(text)
        return path
    return write


def test_check_prints_the_routes(conf):
    r = run_cli("check", "-c", conf(GOOD))
    assert r.returncode == 0
    assert "/a" in r.stdout and "ok" in r.stderr


def test_check_quiet_prints_no_routes(conf):
    r = run_cli("check", "--quiet", f"--config={conf(GOOD)}")
    assert (r.returncode, r.stdout) == (0, "")


def test_check_lists_every_error(conf):
    r = run_cli("check", "-c", conf(GOOD + "rout GET /b { }\nlisten nowhere\n"))
    assert r.returncode == 1
    assert "rout" in r.stderr and "nowhere" in r.stderr and "did you mean" in r.stderr
    assert "2 errors" in r.stderr


def test_check_without_a_file_says_which_is_missing(tmp_path):
    r = run_cli("check", "-c", tmp_path / "absent.conf")
    assert r.returncode == 1 and "absent.conf" in r.stderr


def test_warnings_do_not_fail(conf):
    r = run_cli("check", "-c", conf("trusted_proxies 0.0.0.0/0\n" + GOOD))
    assert r.returncode == 0 and "1 warning" in r.stderr


def test_version():
    assert run_cli("version").stdout.startswith("larder ")
    assert run_cli("--version").stdout == run_cli("version").stdout
    facts = json.loads(run_cli("version", "--json").stdout)
    assert facts["larder"] in run_cli("version").stdout and "openssl" in facts


@pytest.mark.parametrize("args", [(), ("chekc",), ("check", "--confg", "x"), ("check", "-c"),
                                  ("check", "surplus"), ("check", "-c", "a", "-c", "b"),
                                  ("run", "--listen", "127.0.0.1:1"), ("version", "--json=1"),
                                  ("run", "-c", "x", "--upstream", "http://127.0.0.1:1"),
                                  ("reload", "-c", "x", "--pid-file", "y"), ("help", "a", "b")])
def test_wrong_arguments_are_exit_code_2(args):
    r = run_cli(*args)
    assert r.returncode == 2 and r.stderr and r.stdout == ""


def test_did_you_mean():
    assert "did you mean check?" in run_cli("chekc").stderr
    assert "did you mean --config?" in run_cli("check", "--confg", "x").stderr


@pytest.mark.parametrize("command", ["run", "check", "reload", "version", "help"])
def test_each_command_explains_itself(command):
    for r in (run_cli(command, "--help"), run_cli("help", command)):
        if command != "help" or "usage: larder help" in r.stdout:
            assert r.returncode == 0 and f"usage: larder {command}" in r.stdout
    assert f"  {command}" in run_cli("--help").stdout


def test_help_example_is_a_usable_file(conf):
    example = run_cli("help", "example")
    assert example.returncode == 0
    r = run_cli("check", "-c", conf(example.stdout))
    assert r.returncode == 0, r.stderr


def test_help_directives_names_them_all():
    text = run_cli("help", "directives").stdout
    assert all(word in text for word in ("listen", "upstream", "route", "invalidate"))


@pytest.mark.parametrize("url", ["nonsense", "http://x:99999", "http://$HOME", 'http://a"b'])
def test_run_with_a_bad_upstream(url):
    r = run_cli("run", "--upstream", url)
    assert r.returncode == 1 and r.stderr.strip()


def test_reload_by_pid_file(larder, origin, tmp_path):
    conf = """
    pid_file %DIR%/larder.pid
    upstream main %ORIGIN%
    route GET /a { upstream main; scope public; ttl 1m }
    """
    proxy = larder(conf, origin=origin.url)
    # It is written when all is ready, which is after the listener.
    eventually(lambda: (tmp_path / "larder.pid").read_text().endswith("\n"), 15)
    r = run_cli("reload", "-c", proxy.conf_path)
    assert r.returncode == 0 and str(proxy.pid) in r.stdout
    proxy.reload(conf, wait="reload done")


def test_reload_refuses_a_bad_file_before_it_signals(larder, origin):
    proxy = larder("pid_file %DIR%/larder.pid\nupstream main %ORIGIN%\n", origin=origin.url)
    proxy.write_conf("pid_file %DIR%/larder.pid\nnonsense\n")
    r = run_cli("reload", "-c", proxy.conf_path)
    assert r.returncode == 1 and "nonsense" in r.stderr
    assert "reload" not in proxy.stderr().replace(proxy.conf_path, "")


def test_reload_does_not_signal_strangers(tmp_path):
    import subprocess
    other = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "pid").write_text(f"{other.pid}\n")
        r = run_cli("reload", "--pid-file", tmp_path / "pid")
        assert r.returncode == 1 and "not larder" in r.stderr
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("text", ["", "abc", "-1", "0", "1", "99999999999", "12 34"])
def test_reload_with_a_bad_pid_file(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    assert run_cli("reload", "--pid-file", tmp_path / "pid").returncode == 1
