"""What the commands say of themselves: --help, the completion of bash, the manual pages."""

import os
import re
import shutil
import subprocess

import pytest

from lib.larder import REPO, binary, run_cli


def help_of(command):
    r = run_cli(command, "--help") if command != "help" else run_cli("help", "help")
    assert r.returncode == 0, r.stderr
    return r.stdout


def all_commands():
    return re.findall(r"^  ([a-z]+) +[A-Z]", run_cli("--help").stdout, re.M)


def options(command):
    """(long name, short name or "", value or "") of each option in its help."""
    part = help_of(command).split("\nOptions:\n")[1].split("\nExit codes:\n")[0]
    return re.findall(r"^  (?:(-\w), |    )(--[a-z-]+) ?(\S*)", part, re.M)


def test_there_are_commands():
    assert {"run", "check", "reload", "stats", "help"} <= set(all_commands())


def test_each_command_understands_each_option_that_it_lists():
    # A command whose table and code differ aborts before it looks at its arguments.
    for command in all_commands():
        for short, long, value in options(command):
            if long == "--help":
                continue
            spellings = [long] + ([short] if short else [])
            for spelling in spellings:
                if value:
                    r = run_cli(command, spelling)
                    assert f"{long} needs a value" in r.stderr, (command, spelling, r.stderr)
                else:
                    r = run_cli(command, spelling, "--no-such-option")
                    assert "unknown option --no-such-option" in r.stderr, (command, spelling)
                assert r.returncode == 2


def test_each_command_says_what_its_exit_codes_mean():
    for command in all_commands():
        codes = re.findall(r"^  (\d)  [A-Z]", help_of(command).split("\nExit codes:\n")[1], re.M)
        assert codes[0] == "0" and "2" in codes, command


def test_help_fits_a_terminal():
    for command in all_commands():
        text = help_of(command)
        for line in text.splitlines():
            assert len(line) <= 80 or line.startswith(("usage:", "  larder ")), line


def test_arguments_behind_two_dashes_are_no_options():
    r = run_cli("check", "--", "--quiet")
    assert r.returncode == 2 and "unexpected argument --quiet" in r.stderr


def complete(line, cwd=None):
    """What bash offers for the last word of a line; ":" and "=" split words as COMP_WORDBREAKS."""
    words = re.findall(r"=|[^\s=]+", line) + ([""] if line.endswith(" ") else [])
    script = (f'source <("$LARDER" completion bash)\nCOMP_WORDS=({" ".join(map(repr, words))})\n'
              f"COMP_CWORD={len(words) - 1}\ncomplete -p larder >/dev/null && _larder\n"
              'printf "%s\\n" "${COMPREPLY[@]}"\n')
    r = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, cwd=cwd,
                       timeout=30, env=dict(os.environ, LARDER=binary()))
    assert r.returncode == 0 and r.stderr == "", r.stderr
    return r.stdout.split()


def test_completion_of_commands_and_options(tmp_path):
    (tmp_path / "proxy.conf").write_text("")
    (tmp_path / "my file").write_text("")
    assert set(complete("larder ")) == set(all_commands()) | {"--help", "--version"}
    assert complete("larder che") == ["check"]
    assert complete("larder check --qu") == ["--quiet"]
    assert complete("larder check -c pro", tmp_path) == ["proxy.conf"]
    assert complete("larder check --config=pro", tmp_path) == ["proxy.conf"]
    assert complete("larder check --config=", tmp_path) == ["my", "file", "proxy.conf"]
    assert set(complete("larder help ")) == set(all_commands()) | {"example", "directives"}
    assert complete("larder completion ") == ["bash"]
    assert complete("larder nonsense ") == []
    assert complete("larder run --listen ") == []


def test_completion_knows_every_option():
    for command in all_commands():
        wanted = {long for _, long, _ in options(command)}
        assert set(complete(f"larder {command} --")) == wanted, command
        for _, long, value in options(command):
            if "|" in value:
                assert complete(f"larder {command} {long} ") == [
                    word for word in value.split("|") if word.islower()]


@pytest.mark.parametrize("args", [(), ("zsh",), ("bash", "x")])
def test_completion_of_another_shell(args):
    r = run_cli("completion", *args)
    assert r.returncode == 2 and r.stdout == ""


def manual(name):
    with open(os.path.join(REPO, "docs", "man", name), encoding="ascii") as f:
        return re.sub(r"\\-", "-", f.read())


def test_manual_pages_have_it_all():
    text = manual("larder.1")
    for command in all_commands():
        assert f"\n.SS {command}\n" in text
        for _, long, _ in options(command):
            assert long == "--help" or f"\\fB{long}\\fP" in text, (command, long)
    reference = run_cli("help", "directives").stdout
    text = manual("proxy.conf.5")
    for name in re.findall(r"^### (.*)$", reference, re.M):
        assert f"\n\\fB{name}\\fP" in text, name


@pytest.mark.parametrize("page", ["larder.1", "proxy.conf.5"])
def test_manual_pages_are_well_formed(page):
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    r = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z",
                        os.path.join(REPO, "docs", "man", page)],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and r.stderr == "", r.stderr
