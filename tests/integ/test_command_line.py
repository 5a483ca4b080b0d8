# SPDX-License-Identifier: ISC
"""What the command line refuses, and in which words."""

import subprocess

import pytest

from harness import proxy as proxy_module
from harness import system


def run(program, *arguments):
    return subprocess.run(proxy_module.command(program, *arguments), capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(("arguments", "said"), [
    (["--bogus"], "unknown option: --bogus"), (["-x"], "unknown option: -x"), (["-qx"], "unknown option: -x"),
    (["--check=x"], "unknown option: --check=x"), (["-u"], "a value is missing behind -u"), (["--user"], "a value is missing behind --user"),
    ([], "exactly one configuration file is needed"),
], ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_wrong_options_are_named_once(program, arguments, said):
    done = run(program, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"pglane: {said}\nTry 'pglane --help'.\n")


def test_help_and_version(program):
    for option in ("-h", "--help"):
        done = run(program, option)
        assert done.returncode == 0 and "Usage: pglane" in done.stdout and not done.stderr
    for option in ("-V", "--version"):
        first, second = run(program, option).stdout.splitlines()
        assert first.startswith("PgBouncer 1.") and second.startswith("pglane ")


def test_file_that_is_not_there_is_named_once(program):
    done = run(program, "--check", "/nonexistent/no.ini")
    assert (done.returncode, done.stderr) == (1, "/nonexistent/no.ini: cannot be read: No such file or directory\n")


def test_what_is_asked_of_the_system_is_checked_before_a_socket_is_opened(program, tmp_path):
    """192.0.2.1 is nobody's address: to listen there fails."""
    ini = tmp_path / "pglane.ini"
    ini.write_text("[pglane]\nlisten_addr = 192.0.2.1\nunix_socket_dir =\n")
    done = run(program, "-d", "-u", "no_such_user_here", ini)
    assert (done.returncode, done.stderr) == (1, "pglane: no such user: no_such_user_here\npglane: -d needs logfile or syslog\n")


@pytest.mark.parametrize(("running", "asked", "said"), [
    (None, "", "6432"), (None, "6632", "6632"), ("6632", "", "6632"), ("6632", "6632", "6632"), ("6632", "6432", "pglane runs already, on port 6632."),
])
def test_quickstart_stays_on_the_port_of_what_runs(tmp_path, running, asked, said):
    (tmp_path / "pglane.ini").write_text(f"[pglane]\nlisten_addr = 127.0.0.1\nlisten_port = {running}\n")
    script = f"""set -euo pipefail
        source <(sed -n '/^choose_port() {{/,/^}}/p' packaging/quickstart)
        is_ours() {{ {"true" if running else "false"}; }}
        fail() {{ echo "$1"; exit 1; }}
        run={tmp_path} PGLANE_PORT={asked}
        choose_port
        echo $port"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, cwd=system.ROOT)
    assert (done.stdout.strip(), done.stderr) == (said, "")
