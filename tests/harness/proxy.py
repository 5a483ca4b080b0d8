# SPDX-License-Identifier: ISC
"""pglane as a process: its configuration file, its start, its log and its end."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import weakref

import psycopg2

from . import system, wire
from .cluster import USERS

LIVING = weakref.WeakSet()

# What no run may leave in its log: our own faults and what the sanitizers find.
ALARM = re.compile(r"PANIC|ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer")

# What the copy of the program finds beside it: it runs as a user who may not be able to reach the tree.
SUPPRESSIONS = "tsan.supp"

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:quarantine_size_mb=16",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "exitcode=99:halt_on_error=0:suppressions={directory}/" + SUPPRESSIONS + ":history_size=4",
}


def binary():
    """The program under test: PGLANE_BIN, else the release build's."""
    path = pathlib.Path(os.environ.get("PGLANE_BIN", system.ROOT / "build" / "pglane")).resolve()
    assert path.is_file(), f"{path} is not there: build it, or name it in PGLANE_BIN"
    return path


def installed_binary(directory):
    """A copy that the unprivileged user can run, wherever the tree lies."""
    copy = directory / "pglane"
    shutil.copy2(binary(), copy)
    copy.chmod(0o755)
    shutil.copy(system.ROOT / "tests" / SUPPRESSIONS, directory)
    (directory / SUPPRESSIONS).chmod(0o644)
    return copy


def command(program, *arguments):
    """The program's command line, behind what PGLANE_WRAP wants before it."""
    return [*os.environ.get("PGLANE_WRAP", "").split(), str(program), *map(str, arguments)]


def ini(sections):
    """Sections (a dictionary of dictionaries) as the text of a configuration file; a key whose value is None is a line by itself."""
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines += [key if value is None else f"{key} = {value}" for key, value in keys.items()]
        lines.append("")
    return "\n".join(lines)


def small_lanes(default, ml=1, vector=1, training=1, priority=1):
    """Sections for lanes of these sizes, and the budget that is their sum."""
    sizes = {"default": default, "ml": ml, "vector": vector, "training": training, "priority": priority}
    return {f"lane:{name}": {"permits": size} for name, size in sizes.items()}, sum(sizes.values())


class Proxy:
    """One running pglane. settings are keys of [pglane]; other sections are merged into what config() makes."""

    def __init__(self, cluster, program, *, secrets=None, databases=None, users=None, lanes=None, sections=None, arguments=(), wait=True,
                 **settings):
        self.cluster = cluster
        self.directory = system.temporary_directory("pglane-")
        self.port = system.free_port()
        self.host = "127.0.0.1"
        self.log = self.directory / "pglane.log"
        self.ini = self.directory / "pglane.ini"
        self.program, self.arguments = program, list(arguments)
        self.process = self.given_up = None
        self.secrets = {name: password for name, (password, _) in USERS.items()} if secrets is None else secrets
        self.settings, self.databases, self.users, self.lanes, self.sections = settings, databases, users, lanes, sections or {}
        self.write()
        self.start(wait)

    # configuration

    def config(self):
        main = {"listen_addr": self.host, "listen_port": self.port, "unix_socket_dir": self.directory, "auth_type": "trust",
                "auth_file": self.directory / "userlist.txt", "server_tls_sslmode": "disable", "workers": 2, "admin_users": "app",
                "stats_users": "u_other", "warm_min": 0, "scale_step": 0, "catalog_period": 0, **self.settings}
        server = f"host=127.0.0.1 port={self.cluster.port}"
        sections = {"pglane": main, "databases": {"*": server, "app": f"{server} dbname=app"}}
        sections["databases"].update({name: text.format(server=server) for name, text in (self.databases or {}).items()})
        if self.users:
            sections["users"] = self.users
        if self.lanes:
            lanes, budget = small_lanes(**self.lanes)
            main.setdefault("budget", budget)
            sections.update(lanes)
        for name, keys in self.sections.items():
            sections[name] = {**sections.get(name, {}), **keys}
        return sections

    def write(self, **changes):
        """Writes the files, with changes to [pglane] from now on."""
        self.settings.update(changes)
        lines = [f'"{name}" "{secret}"\n' for name, secret in self.secrets.items()]
        (self.directory / "userlist.txt").write_text("".join(lines))
        self.ini.write_text(ini(self.config()))
        for name in ("userlist.txt", "pglane.ini"):
            system.own(self.directory / name, system.unprivileged_user(), 0o600)

    # life

    def start(self, wait=True):
        environment = {**os.environ, **{key: os.environ.get(key, value.format(directory=self.program.parent))
                                      for key, value in SANITIZER_OPTIONS.items()}}
        symbolizer = shutil.which("llvm-symbolizer") or shutil.which("llvm-symbolizer-14")
        if symbolizer:
            environment["ASAN_SYMBOLIZER_PATH"] = symbolizer
        with open(self.log, "ab") as log:
            LIVING.add(self)
            self.process = subprocess.Popen(command(self.program, *self.arguments, self.ini), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd="/", env=environment, **system.become(system.unprivileged_user()))
        if wait:
            system.eventually(self.listens, 30, "pglane's start")

    def listens(self):
        """Does it answer an SSLRequest? Fails at once when the process has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"pglane ended with status {self.process.returncode}:\n{self.log_text()}")
        try:
            with wire.RawClient(self.host, self.port) as client:
                client.send(bytes.fromhex("0000000804d2162f"))
                return client.receive_exactly(1) in (b"S", b"N")
        except (OSError, wire.Closed):
            return False

    def give_up(self, why):
        """Kills it from another thread: whoever waits for it returns, and stop() says why."""
        self.given_up = f"{why}; pglane's log ends with:\n{self.tail()}"
        self.process.kill()

    @property
    def pid(self):
        return self.process.pid

    def send_signal(self, how):
        self.process.send_signal(how)

    def reload(self):
        """RELOAD on the console; raises what it answers."""
        with self.console() as console:
            console.run("RELOAD")

    def stop(self, how=signal.SIGQUIT, timeout_s=30):
        """Ends pglane and checks that it ended well: status 0, nothing alarming in its log."""
        status = system.end(self.process, how, timeout_s)
        try:
            self.check_log()
            assert not self.given_up, self.given_up
            assert status is not None, f"pglane did not end within {timeout_s} s of signal {how}:\n{self.tail()}"
            assert status == 0, f"pglane ended with status {status}:\n{self.tail()}"
        finally:
            system.remove(self.directory)

    def stop_only(self, how=signal.SIGQUIT, timeout_s=30):
        """Ends the process and keeps its directory, to start it again."""
        assert system.end(self.process, how, timeout_s) == 0, self.tail()
        self.check_log()

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, n_lines=60):
        return "\n".join(self.log_text().splitlines()[-n_lines:])

    def check_log(self):
        text = self.log_text()
        found = ALARM.search(text)
        if found:
            raise AssertionError(f"pglane's log says {found.group(0)}:\n{text[max(0, found.start() - 2000):found.start() + 6000]}")

    def resident_bytes(self):
        return system.resident_bytes(self.pid)

    # connections

    def connect(self, dbname="app", user="app", **kwargs):
        """A psycopg2 connection (autocommit) through pglane."""
        kwargs.setdefault("host", self.host)
        connection = psycopg2.connect(port=self.port, dbname=dbname, user=user, **{"sslmode": "disable", "connect_timeout": 30, **kwargs})
        connection.autocommit = True
        return connection

    def run(self, sql, arguments=None, **kwargs):
        """One statement over a connection of its own; its rows, or None."""
        connection = self.connect(**kwargs)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def raw(self, timeout_s=60):
        """A connection that has said nothing yet."""
        return wire.RawClient(self.host, self.port, timeout_s)

    def client(self, timeout_s=60, **kwargs):
        """A raw client that has logged in."""
        client = self.raw(timeout_s)
        try:
            return client.login(**kwargs)
        except BaseException:
            client.close()
            raise

    def console(self, user="app", dbname="pglane"):
        return Console(self, user, dbname)

    def cancel(self, client):
        """Sends a cancel for a raw client and waits until it was taken."""
        wire.send_cancel(self.host, self.port, client.pid, client.key)


class Console:
    """The console as a driver sees it: dictionaries by column name, in order."""

    def __init__(self, proxy, user, dbname):
        self.connection = proxy.connect(dbname, user, password=USERS[user][0])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.connection.close()

    def close(self):
        self.connection.close()

    def run(self, command):
        with self.connection.cursor() as cursor:
            cursor.execute(command)
            if not cursor.description:
                return None
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def show(self, what):
        return self.run(f"SHOW {what}")

    def lane(self, name):
        """The row of SHOW LANES for one lane."""
        rows = [row for row in self.show("LANES") if next(iter(row.values())) == name]
        assert len(rows) == 1, f"one row for lane {name}, not {len(rows)}"
        return rows[0]
