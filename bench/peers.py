# SPDX-License-Identifier: ISC
"""The PostgreSQL that a bench run makes for itself, the proxies before it, and what the kernel says about a process.

Everything lives in one temporary directory, listens on free loopback ports and is stopped by the process id it was started with.
PostgreSQL and pgbouncer refuse to run as root; then all of them run as the user postgres.
"""

import contextlib
import glob
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DATABASE = "bench"
TRUST_USER = "bench"
SCRAM_USER = "bench_scram"
SCRAM_PASSWORD = "a password that SCRAM hashes 4096 times"
SCALE = 20
POOL_SIZE = 30
MAX_CLIENTS = 12000
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A cell could not be measured, and why."""


class NotSupported(BenchError):
    """The peer cannot do this by its nature: no fault, and no figure."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_postgres():
    """Popen's arguments that drop root, none when we are not root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_tool(argv, **options):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(str(error)) from error
    if done.returncode != 0:
        raise BenchError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def client_environment(password=None):
    """What pgbench and psql see: no TLS, no GSSAPI, no settings of the person who runs the bench."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    kept.update(PGSSLMODE="disable", PGGSSENCMODE="disable", PGCONNECT_TIMEOUT="30")
    if password:
        kept["PGPASSWORD"] = password
    return kept


class Process:
    """A server we started: its pid, its port, and what it has used so far."""

    def __init__(self, argv, port, log_path):
        self.port = port
        self.log_path = log_path
        self.what = os.path.basename(argv[0])
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_postgres())
        self.pid = self.popen.pid
        try:
            self.await_port()
        except BenchError:
            self.stop()
            raise

    def await_port(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.must_live()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise BenchError(f"{self.what}: nobody listens on its port; {self.last_words()}")

    def last_words(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "its log ends: " + " | ".join(log.read().splitlines()[-3:])

    def must_live(self):
        status = self.popen.poll()
        if status is not None:
            raise BenchError(f"{self.what} ended with status {status}; {self.last_words()}")

    def stop(self, *signals):
        for number in (*signals, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL):
            if self.popen.poll() is not None:
                return
            self.popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(5)

    def thread_cpu_us(self):
        """What each thread has used, by its id: the scheduler's nanoseconds."""
        used_us = {}
        for path in glob.glob(f"/proc/{self.pid}/task/*/schedstat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, encoding="ascii") as stat:
                used_us[path.split("/")[4]] = int(stat.read().split()[0]) / 1000
        return used_us

    def cpu_us(self):
        """(all, in user space) over all threads; the ticks of stat only split what the scheduler counted."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return sum(self.thread_cpu_us().values()), int(fields[11]) * TICK_S * 1e6

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.M).group(1)) * 1024


class Postgres:
    """One cluster with the pgbench tables and two users: one that is trusted, one that must prove a password."""

    def __init__(self, directory, max_connections):
        self.bin = os.path.dirname(sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))[-1])
        self.port = free_port()
        self.data = os.path.join(directory, "data")
        log_path = os.path.join(directory, "log-postgres")
        run_tool([f"{self.bin}/initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"],
                 cwd=directory, **as_postgres())
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="ascii") as hba:
            hba.write(f"host all {SCRAM_USER} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                    "max_connections": max_connections, "shared_buffers": "512MB", "fsync": "off",
                    "synchronous_commit": "off", "autovacuum": "off", "max_wal_size": "4GB"}
        argv = [f"{self.bin}/postgres", "-D", self.data]
        for key, value in settings.items():
            argv += ["-c", f"{key}={value}"]
        self.process = Process(argv, self.port, log_path)
        self.await_ready()
        self.fill()

    def await_ready(self):
        """The port is open a little before recovery has ended."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.psql("postgres", "SELECT 1")
            except BenchError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def psql(self, database, sql):
        return run_tool(["psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, "-c", sql],
                        env=client_environment()).strip()

    def fill(self):
        self.psql("postgres", f"CREATE ROLE {TRUST_USER} LOGIN")
        self.psql("postgres", f"CREATE ROLE {SCRAM_USER} LOGIN PASSWORD '{SCRAM_PASSWORD}'")
        self.psql("postgres", f"CREATE DATABASE {DATABASE} OWNER {TRUST_USER}")
        run_tool(["pgbench", "-i", "-I", "dtGvp", "-q", "-s", str(SCALE), "-h", "127.0.0.1", "-p", str(self.port),
                  "-U", TRUST_USER, DATABASE], env=client_environment())
        self.psql(DATABASE, "CHECKPOINT")

    def scram_secret(self):
        return self.psql("postgres", f"SELECT rolpassword FROM pg_authid WHERE rolname = '{SCRAM_USER}'")

    def version(self):
        return self.psql("postgres", "SHOW server_version").split()[0]

    def stop(self):
        self.process.stop(signal.SIGINT)  # its fast shutdown


class Site:
    """The temporary directory with what every peer needs: built programs, the cluster, a user list, a certificate."""

    def __init__(self, max_connections):
        self.directory = tempfile.mkdtemp(prefix="pglane-bench-")
        self.postgres = None
        try:
            if os.geteuid() == 0:
                os.chown(self.directory, pwd.getpwnam("postgres").pw_uid, -1)
            os.chmod(self.directory, 0o755)
            self.build("relay", "relay.c")
            self.build("drain", "drain.c", "wire.c")
            self.build("idle_clients", "idle_clients.c", "wire.c", "-lssl", "-lcrypto")
            self.postgres = Postgres(self.directory, max_connections)
            self.users = self.write("userlist.txt", f'"{TRUST_USER}" ""\n"{SCRAM_USER}" "{self.postgres.scram_secret()}"\n')
            self.make_certificate()
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), 0o644)
        return self.path(name)

    def build(self, program, *arguments):
        inputs = [os.path.join(HERE, word) if word.endswith(".c") else word for word in arguments]
        run_tool([os.environ.get("CC", "cc"), "-O2", "-D_GNU_SOURCE", "-o", self.path(program), *inputs])
        os.chmod(self.path(program), 0o755)

    def make_certificate(self):
        run_tool(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                  "-subj", "/CN=localhost", "-keyout", self.path("key.pem"), "-out", self.path("cert.pem")])
        os.chmod(self.path("key.pem"), 0o600)
        if os.geteuid() == 0:
            os.chown(self.path("key.pem"), pwd.getpwnam("postgres").pw_uid, -1)

    def close(self):
        if self.postgres:
            self.postgres.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Peer:
    """A kind of proxy. start(variant) runs one: `trust`, `scram` (clients prove a password) or `tls` (trust, TLS offered)."""

    name = ""
    modes = ("simple", "extended", "prepared", "transaction")
    variants = ("trust", "scram", "tls")
    max_clients = MAX_CLIENTS

    def __init__(self, site):
        self.site = site
        self.running = {}

    def version(self):
        return ""

    def argv(self, variant, port):
        raise NotImplementedError

    def start(self, variant):
        if variant not in self.variants:
            raise NotSupported("not supported")
        port = free_port()
        process = Process(self.argv(variant, port), port, self.site.path(f"log-{self.name}-{variant}"))
        self.running[process.pid] = process
        return process

    def stop(self, process):
        process.stop()
        del self.running[process.pid]

    def close(self):
        for process in list(self.running.values()):
            self.stop(process)

    def database_line(self):
        return f"{DATABASE} = host=127.0.0.1 port={self.site.postgres.port} dbname={DATABASE}"

    def tls_lines(self, variant):
        if variant != "tls":
            return ""
        return (f"client_tls_sslmode = allow\nclient_tls_key_file = {self.site.path('key.pem')}\n"
                f"client_tls_cert_file = {self.site.path('cert.pem')}\n")

    def common_lines(self, variant, port):
        """Keys that mean the same to pgbouncer and to pglane. Nobody spends time on a log line per login."""
        return (f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
                f"auth_type = {'scram-sha-256' if variant == 'scram' else 'trust'}\nauth_file = {self.site.users}\n"
                f"admin_users = {TRUST_USER}\npool_mode = transaction\nmax_client_conn = {MAX_CLIENTS}\n"
                f"log_connections = 0\nlog_disconnections = 0\n{self.tls_lines(variant)}")


class Relay(Peer):
    name = "relay"
    variants = ("trust",)
    max_clients = 100  # each takes a server connection of its own

    def argv(self, variant, port):
        return [self.site.path("relay"), str(port), str(self.site.postgres.port)]


class PgBouncer(Peer):
    name = "pgbouncer"

    def __init__(self, site, program, pool_size=POOL_SIZE):
        super().__init__(site)
        self.program = program
        self.pool_size = pool_size
        if not self.has_prepared():
            self.modes = tuple(mode for mode in Peer.modes if mode != "prepared")

    def version(self):
        return run_tool([self.program, "--version"]).split()[1]

    def has_prepared(self):
        """Since 1.21, prepared statements survive transaction pooling."""
        return tuple(int(number) for number in re.findall(r"\d+", self.version())[:2]) >= (1, 21)

    def argv(self, variant, port):
        prepared = "max_prepared_statements = 200\n" if self.has_prepared() else ""
        return [self.program, self.site.write(
            f"pgbouncer-{port}.ini",
            f"[databases]\n{self.database_line()}\n[pgbouncer]\n{self.common_lines(variant, port)}"
            f"default_pool_size = {self.pool_size}\n{prepared}")]


class Pglane(Peer):
    """Classification, permits and timeouts are on, as in production; with the lanes it has by default, or these:
    {lane: {key: value}}."""

    def __init__(self, site, program, workers, lanes=None):
        super().__init__(site)
        self.name = "pglane" if workers == "1" else f"pglane-{workers}"
        self.program = program
        self.workers = workers
        self.lanes = lanes or {}

    def budget_line(self):
        return f"budget = {sum(keys['permits'] for keys in self.lanes.values())}\n" if self.lanes else ""

    def lane_lines(self):
        return "".join(f"[lane:{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
                       for name, keys in self.lanes.items())

    def version(self):
        return re.search(r"^pglane (\S+)", run_tool([self.program, "--version"]), re.M).group(1)

    def argv(self, variant, port):
        return [self.program, self.site.write(
            f"{self.name}-{port}.ini",
            f"[pglane]\n{self.common_lines(variant, port)}workers = {self.workers}\n{self.budget_line()}"
            f"[databases]\n{self.database_line()}\n{self.lane_lines()}")]
