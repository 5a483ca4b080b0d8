# SPDX-License-Identifier: ISC
"""Processes, ports, directories and waiting: the only module that knows how this machine does it."""

import contextlib
import grp
import os
import pathlib
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLL_S = 0.01


def eventually(condition, timeout_s=10.0, what=None):
    """The first true value of condition(), asked again and again until the deadline; the only place that waits by the clock.

    A condition that raises AssertionError or OSError has not come true yet; its last words are in the failure's text.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last = None
        try:
            value = condition()
        except (AssertionError, OSError) as error:
            value, last = None, error
        if value:
            return value
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"{name} did not come true within {timeout_s} s" + (f": {last}" if last else f" (last: {value!r})"))
        time.sleep(POLL_S)


def unprivileged_user():
    """The user that servers run as: PostgreSQL refuses root. None when we are nobody special already."""
    return "postgres" if os.geteuid() == 0 else None


def become(user):
    """subprocess.Popen arguments for running as user."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [g.gr_gid for g in grp.getgrall() if user in g.gr_mem]}


def own(path, user, mode=0o700):
    """Gives a file or directory to the user of the servers."""
    os.chmod(path, mode)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def temporary_directory(prefix):
    """A new directory that the unprivileged user owns and can reach whatever the tree's own place is. Short: socket names are."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    own(path, unprivileged_user(), 0o755)
    return path


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_file_limit():
    """As many descriptors as are allowed: a thousand clients need two thousand."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(*command, user=None, timeout_s=120, **kwargs):
    """Runs to the end; its output is in the failure when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout_s,
                          cwd=kwargs.pop("cwd", "/"), **become(user), **kwargs)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def end(process, how, timeout_s):
    """Signals a process and waits for its end. Exit status, or None when it had to be killed."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return None


def resident_bytes(pid):
    """The resident set of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no VmRSS of {pid}")
