# SPDX-License-Identifier: ISC
"""A real PostgreSQL cluster for the run: made by initdb in a temporary directory, gone afterwards."""

import contextlib
import glob
import os
import signal
import subprocess

import psycopg2

from . import system
from .certificates import Certificates

MAX_CONNECTIONS = 200

# name: (password, how the server asks for it). What follows the name in pg_hba.conf decides how pglane has to log in.
USERS = {
    "app": ("app-secret", "trust"),
    "u_scram": ("scram secret é", "scram-sha-256"),
    "u_md5": ("md5-secret", "md5"),
    "u_plain": ("plain-secret", "password"),
    "u_other": ("other-secret", "trust"),
}

CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
max_connections = {max_connections}
max_prepared_transactions = 20
shared_buffers = 128MB
fsync = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
max_prepared_transactions = 8
autovacuum = off
ssl = on
ssl_cert_file = '{certificates}/server.crt'
ssl_key_file = '{certificates}/server.key'
ssl_ca_file = '{certificates}/ca.crt'
log_line_prefix = '%m [%p] %u@%d '
jit = off
"""

HBA = """
local   all all trust
local   replication all trust
{users}
host    all postgres,ml_proxy 127.0.0.1/32 trust
"""


def binaries():
    """The directory of the newest PostgreSQL's programs."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    assert found, "no PostgreSQL server is installed (package postgresql-15)"
    return os.path.dirname(found[-1])


class Cluster:
    """port, and directory (of its unix socket). Databases: app (with PostGIS) and other. Users: USERS and the superuser postgres."""

    def __init__(self, settings=""):
        """settings: lines of postgresql.conf that go over ours."""
        self._place()
        self.certificate_directory = self.directory / "tls"
        self.certificate_directory.mkdir()
        self.certificates = Certificates(self.certificate_directory)
        system.own(self.certificate_directory, self.user)
        self._initdb(settings)
        self.start()
        self._create_users_and_databases()

    def _place(self):
        self.user = system.unprivileged_user()
        self.directory = system.temporary_directory("pglane-pg-")
        self.data = self.directory / "data"
        self.log = self.directory / "postgres.log"
        self.port = system.free_port()
        self.process = None

    def _initdb(self, settings):
        system.run(f"{binaries()}/initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                   "--no-sync", user=self.user)
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as config:
            config.write(CONFIG.format(port=self.port, directory=self.directory, max_connections=MAX_CONNECTIONS,
                                       certificates=self.certificate_directory) + settings)
        users = "\n".join(f"host all {name} 127.0.0.1/32 {method}" for name, (_, method) in USERS.items())
        (self.data / "pg_hba.conf").write_text(HBA.format(users=users))

    def _create_users_and_databases(self):
        self.run("CREATE DATABASE app")
        self.run("CREATE DATABASE other")
        for name, (password, method) in USERS.items():
            encryption = "md5" if method == "md5" else "scram-sha-256"
            self.run(f"SET password_encryption = '{encryption}'; CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        for database in ("app", "other"):
            self.run(f"GRANT ALL ON DATABASE {database} TO PUBLIC")
            self.run("GRANT ALL ON SCHEMA public TO PUBLIC", database)
        self.run("CREATE EXTENSION postgis", "app")

    def start(self, timeout_s=30):
        """Starts the server and waits until it answers. A killed one may need a moment until its shared memory is free."""
        def started():
            if self.process is None or self.process.poll() is not None:
                with open(self.log, "ab") as log:
                    self.process = subprocess.Popen([f"{binaries()}/postgres", "-D", str(self.data)], stdout=log, stderr=log,
                                                    stdin=subprocess.DEVNULL, cwd="/", **system.become(self.user))
            return self.answers()
        system.eventually(started, timeout_s, "PostgreSQL's start")

    def answers(self):
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast shutdown."""
        if self.process:
            system.end(self.process, how, 30)
            self.process = None

    def kill(self):
        """Crash: SIGKILL for the postmaster; its children notice and go."""
        self.stop(signal.SIGKILL)

    def crash(self, pid):
        """SIGKILL for one backend: PostgreSQL ends all of them and starts anew. Returns when it answers again: as ever, until the postmaster has
        collected its child, and in the same breath it ends the others."""
        def collected():
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            return False

        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(pid, signal.SIGKILL)
        system.eventually(collected, 30, "the backend's end")
        system.eventually(self.answers, 30, "PostgreSQL's recovery")

    def restart(self):
        self.stop()
        self.start()

    def destroy(self):
        self.stop(signal.SIGQUIT)
        system.remove(self.directory)

    def connect(self, dbname="postgres", user="postgres", **kwargs):
        """A direct connection (autocommit) that passes pglane by."""
        connection = psycopg2.connect(host=str(self.directory), port=self.port, dbname=dbname, user=user,
                                      application_name="direct", **kwargs)
        connection.autocommit = True
        return connection

    def run(self, sql, dbname="postgres", arguments=None):
        """Runs one statement directly; its rows, or None."""
        connection = self.connect(dbname)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def secret(self, user):
        """What pg_authid holds for the user: md5… or SCRAM-SHA-256$…."""
        return self.run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", arguments=(user,))[0][0]

    def backends(self, condition="true"):
        """Client backends that did not come directly from a test."""
        return self.run(f"""SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                            AND application_name <> 'direct' AND {condition}""")

    def end_backends(self, condition="true", timeout_s=30):
        """Ends what earlier tests left: what is counted from here on is one's own."""
        def ended():
            self.run(f"""SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                         AND application_name <> 'direct' AND {condition}""")
            return not self.backends(condition)
        system.eventually(ended, timeout_s, "the end of backends that earlier tests left")

    def end_statements(self):
        """Ends what nobody waits for any more: a backend amid a statement does not see that its client has gone, and the next test takes it for its own."""
        if self.answers():
            self.end_backends("state = 'active'")


class Standby(Cluster):
    """A streaming replica, made by pg_basebackup, of a cluster that was started with the settings REPLICATION."""

    REPLICATION = "wal_level = replica\nmax_wal_senders = 4\n"

    def __init__(self, primary):
        self._place()
        self.primary = primary
        system.run(f"{binaries()}/pg_basebackup", "-D", self.data, "-h", primary.directory, "-p", primary.port, "-U", "postgres", "-R", "-X", "stream",
                   "-c", "fast", "--no-sync", user=self.user)
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as config:
            config.write(f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n")
        self.start()

    def catch_up(self, timeout_s=30):
        """Waits until all that the primary has written so far can be read here."""
        written = self.primary.run("SELECT pg_current_wal_insert_lsn()")[0][0]
        system.eventually(lambda: self.run(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")[0][0], timeout_s, "the standby's catching up")
