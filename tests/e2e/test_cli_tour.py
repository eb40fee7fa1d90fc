"""Every command as a new user meets it: each option and each example of its help beside a real
proxy, and what it says when something is not as it should be."""

import json
import os
import re
import shutil
import subprocess
import unicodedata

import pytest

from lib.admin import TOKEN, start_admin
from lib.larder import binary, run_cli
from lib.origin import answer
from lib.ports import free_port

CONF = """
hosts localhost
pid_file %DIR%/larder.pid
upstream main %ORIGIN%
defaults { upstream main; ttl 60s }
type dish { ttl 5m; scope public }
route GET  /a/{id} name=letters { scope public; key a:{id}; tag t:{id} }
route GET  /dish/{id} { type dish; key products:{id} }
route GET  /soon { scope public; refresh 30s }
route POST /a { invalidate a:* }
"""
CLEAN = {"LARDER_TOKEN": "", "TERM": "xterm"}


def cli(*args, **kw):
    return run_cli(*args, env={**CLEAN, **kw.pop("env", {})}, **kw)


def help_of(command):
    return (cli(command, "--help") if command != "help" else cli("help", "help")).stdout


def all_commands():
    return re.findall(r"^  ([a-z]+) +[A-Z]", cli("--help").stdout, re.M)


def options(command):
    part = help_of(command).split("\nOptions:\n")[1].split("\nExit codes:\n")[0]
    return set(re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", part, re.M)) - {"--help"}


def asking():
    """The commands that ask the admin plane."""
    return [c for c in all_commands() if "--admin" in options(c)]


@pytest.fixture
def proxy(larder, origin):
    for path in ("/a/1", "/a/2", "/dish/1", "/soon"):
        origin.route(path, answer(200, b"hello"))
    started, _ = start_admin(larder, CONF,
                             origin=origin.url)
    origin.route("/a/3", answer(200, b"mine", {"Set-Cookie": "a=b"}))
    for path in ("/a/1", "/a/1", "/a/2", "/a/3", "/dish/1", "/none"):
        started.get(path)
    return started


# Each option of each command that asks, once at least: (command, arguments, what is printed).
# %CONF%, %ADMIN% and %TOKEN% are the proxy's.
ELSEWHERE = ["--admin", "%ADMIN%", "--token-file", "%TOKEN%", "--timeout", "20s"]
TOUR = [
    ("stats", [], "requests"),
    ("stats", ["--watch", "--interval", "200ms"], "requests"),
    ("stats", ["--json", *ELSEWHERE], '"total_requests"'),
    ("top", ["--lines", "3", "--interval", "200ms"], "HOTTEST KEYS"),
    ("top", ["--json", *ELSEWHERE], '"keys"'),
    ("explain", ["/a/1"], "HIT"),
    ("explain", ["GET", "/a/9", "--header", "Accept: */*", "--tls", "--peer", "10.0.0.1"], "MISS"),
    ("explain", ["POST", "/a", "--data", "x", "--json"], '"invalidates"'),
    ("explain", ["/a/1", *ELSEWHERE], "HIT"),
    ("explain", ["/a/1", "--offline"], "LOOKUP"),
    ("keys", [], "products:1"),
    ("keys", ["a:1", "--tier", "l1", "--limit", "9"], "a:1"),
    ("keys", ["--show", "a:1", "--host", "localhost"], "hello"),
    ("keys", ["--json", *ELSEWHERE], '"complete":true'),
    ("clear", ["a:*"], "cleared a:*"),
    ("clear", ["--key", "a:1", "--soft", "--wait"], "cleared a:1"),
    ("clear", ["--type", "dish", "--json"], '"cleared":"type:dish"'),
    ("clear", ["--tag", "t:1"], "cleared tag:t:1"),
    ("clear", ["--route", "letters", *ELSEWHERE], "cleared route:letters"),
    ("clear", ["--all", "--yes"], "cleared all"),
    ("refresh", [], "/soon"),
    ("refresh", ["/soon", "--host", "localhost"], "stored"),
    ("refresh", ["--all", "--json"], '"refreshed"'),
    ("refresh", [*ELSEWHERE], "/soon"),
    ("routes", [], "letters"),
    ("routes", ["--json", *ELSEWHERE], '"routes"'),
    ("health", [], "HEALTHY"),
    ("health", ["--strict", "--json", *ELSEWHERE], '"HEALTHY"'),
    ("health", ["--quiet"], ""),
    ("log", ["--lines", "50"], "/none"),
    ("log", ["--route", "letters", "--result", "hit", "--json"], '"HIT"'),
    ("log", ["--reason", "no-route", *ELSEWHERE], "(no route)"),
    ("reload", [], "has reloaded"),
    ("reload", [*ELSEWHERE], "has reloaded"),
    ("reload", ["--pid-file", "%PID%"], ""),
]
APART = {("log", "--follow")}  # goes on for ever: test_cli_log.py


def filled(args, proxy):
    token = os.path.join(proxy.folder, "token")
    with open(token, "w", encoding="utf-8") as f:
        f.write(TOKEN + "\n")
    values = {"%ADMIN%": f"127.0.0.1:{proxy.values['admin_port']}", "%TOKEN%": token,
              "%PID%": os.path.join(proxy.folder, "larder.pid")}
    return [values.get(a, a) for a in args]


def test_each_option_does_what_help_says(proxy):
    shown = []
    for command, args, printed in TOUR:
        r = cli(command, *filled(args, proxy),
                *([] if "--admin" in args or "--pid-file" in args else ["-c", proxy.conf_path]))
        if r.returncode != 0 or printed not in r.stdout or r.stderr or "\x1b" in r.stdout:
            shown.append((command, args, r.returncode, r.stdout, r.stderr))
        if "--json" in args:
            for line in [r.stdout] if command != "log" else r.stdout.splitlines():
                json.loads(line)
    assert not shown
    taken = {(c, a) for c, args, _ in TOUR for a in args if a.startswith("--")}
    listed = {(c, o) for c in asking() for o in options(c)} - {(c, "--config") for c in asking()}
    assert listed - taken - APART == set()


def test_each_example_of_the_help_runs(proxy, origin, tmp_path):
    """As it stands there, in a shell, in a folder with a proxy.conf."""
    shutil.copy(proxy.conf_path, tmp_path / "proxy.conf")
    os.symlink(binary(), tmp_path / "larder")
    with open(tmp_path / "jq", "w", encoding="utf-8") as f:  # as much of it as is asked of it
        f.write("#!/usr/bin/python3\nimport json, sys\n"
                "print(json.load(sys.stdin)[sys.argv[1].lstrip('.')])\n")
    os.chmod(tmp_path / "jq", 0o755)
    ran = 0
    for command in all_commands():
        if "\nExamples:\n" not in help_of(command):
            continue
        for line in re.findall(r"^  (\S.*)$", help_of(command).split("\nExamples:\n")[1], re.M):
            line = line.replace("http://127.0.0.1:8000",
                                f"{origin.url} --listen 127.0.0.1:{free_port()}")
            limit = "timeout -s TERM 1 " if command == "run" else ""
            r = subprocess.run(["bash", "-c", f"set -e -o pipefail; {limit}{line}"],
                               capture_output=True, text=True, timeout=60, cwd=tmp_path,
                               env={**os.environ, **CLEAN,
                                    "PATH": f"{tmp_path}:{os.environ['PATH']}"})
            assert r.returncode in ((0, 124) if limit else (0,)), (line, r.stdout, r.stderr)
            assert limit or r.stdout or line.endswith("--quiet") or "source" in line, line
            ran += 1
    assert ran >= 8


def test_a_word_that_is_nearly_right():
    for command in asking():
        r = cli(command, "--jsno" if "--json" in options(command) else "--confg")
        wanted = "--json" if "--json" in options(command) else "--config"
        assert r.returncode == 2 and r.stdout == "", command
        assert f"did you mean {wanted}?" in r.stderr.splitlines()[0], r.stderr
        assert r.stderr.splitlines()[1].startswith(f"usage: larder {command} ")
    for wrong, right in (("stat", "stats"), ("claer", "clear"), ("explian", "explain")):
        r = cli(wrong)
        assert r.returncode == 2 and f"did you mean {right}?" in r.stderr
    r = cli("log", "--reason", "set-cokie")
    assert r.returncode == 2 and "did you mean set-cookie?" in r.stderr
    for args in (("GET",), ("a/1",), ("GET", "a/1")):
        r = cli("explain", *args)
        assert r.returncode == 2 and "begins with a slash" in r.stderr, r.stderr


# What each command that asks needs so that its arguments are right.
NEEDED = {"explain": ["/a/1"], "clear": ["a:*"]}


def words(command):
    return NEEDED.get(command, [])


def test_nobody_is_there(tmp_path):
    """3 and one line; explain falls back to the file."""
    port = free_port()
    conf = tmp_path / "proxy.conf"
    conf.write_text(f"admin 127.0.0.1:{port}\nupstream main http://127.0.0.1:9\n")
    for command in asking():
        r = cli(command, *words(command), "-c", conf)
        if command == "explain":
            assert r.returncode == 0 and "explained from the configuration alone" in r.stderr
            r = cli(command, *words(command), "--admin", f"127.0.0.1:{port}")
        assert r.returncode == 3, (command, r)
        assert f"127.0.0.1:{port}" in r.stderr and r.stdout == "", (command, r.stderr)
        assert len(r.stderr.splitlines()) == 1, r.stderr


def test_the_token_is_wrong(proxy):
    for command in set(asking()) - {"reload"}:  # which has the pid file, too
        r = cli(command, *words(command), "-c", proxy.conf_path, env={"LARDER_TOKEN": "w" * 32})
        assert r.returncode == 3 and r.stdout == "", (command, r)
        assert "refused the token" in r.stderr and "LARDER_TOKEN" in r.stderr


def test_the_file_is_of_no_use(tmp_path):
    broken, without = tmp_path / "broken.conf", tmp_path / "without.conf"
    broken.write_text("admin 127.0.0.1:1\nupstrem main http://127.0.0.1:9\n")
    without.write_text("upstream main http://127.0.0.1:9\n")
    for command in asking():
        r = cli(command, *words(command), "-c", broken)
        assert r.returncode == 1 and "broken.conf:2:1: error: " in r.stderr, (command, r)
        assert "is not usable" in r.stderr.splitlines()[-1] and r.stdout == ""
        r = cli(command, *words(command), "-c", tmp_path / "absent.conf")
        assert r.returncode == 1 and "absent.conf: no such file" in r.stderr, (command, r)
        if command == "explain":
            continue  # needs no `admin`
        r = cli(command, *words(command), "-c", without)
        assert r.returncode == 1 and re.search("has no `admin`|neither admin", r.stderr), r
        assert len(r.stderr.splitlines()) == 1


def width(text):
    return sum(0 if unicodedata.combining(c) else
               2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def raw(text):
    """A field's value as the bytes of UTF-8."""
    return text.encode().decode("latin-1")


def test_columns_stand_below_each_other(larder, origin):
    """Whatever is in them: a backend's tags may be of any script."""
    origin.route("/a/1", answer(200, b"x", {"Cache-Tag": raw("日本語,größe")}))
    origin.route("/a/2", answer(200, b"x", {"Cache-Tag": raw("e\u0301te\u0301")}))
    proxy, _ = start_admin(larder, "upstream main %ORIGIN%\n"
                           "route GET /日本/{id} name=j { upstream main; ttl 1m; scope public }\n"
                           "route GET /a/{id} { upstream main; ttl 1m; scope public }\n",
                           origin=origin.url)
    for path in ("/a/1", "/a/2", "/x"):
        proxy.get(path)
    for args in (("routes",), ("keys",), ("stats",), ("top",)):
        r = cli(*args, "-c", proxy.conf_path, env={"NO_COLOR": "1", "COLUMNS": "20"})
        assert r.returncode == 0 and r.stderr == "" and "\x1b" not in r.stdout
    lines = cli("routes", "-c", proxy.conf_path).stdout.splitlines()
    starts = {width(line[:line.index("main")]) for line in lines[1:]}
    assert starts == {width(lines[0][:lines[0].index("UPSTREAM")])}, lines
