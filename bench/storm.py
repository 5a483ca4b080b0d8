# SPDX-License-Identifier: ISC
"""Serving beside a storm of other work: the loads, the ways in which people isolate them, and the latency of every transaction."""

import contextlib
import glob
import os
import statistics
import subprocess
import time

from peers import DATABASE, SCALE, TRUST_USER, BenchError, PgBouncer, Pglane, client_environment

# The budget of everybody: what pglane splits into lanes is pgbouncer's one pool, or its pools one for each workload.
LANES = {"default": {"permits": 4}, "ml": {"permits": 16}, "vector": {"permits": 8}, "training": {"permits": 10}, "priority": {"permits": 2}}
TOTAL = sum(lane["permits"] for lane in LANES.values())

SETTLE_S = 1.0  # after each boundary: clients log in, the last statements of the storm end
PERCENTILES = (50, 99, 99.9)


class Workload:
    """Clients that repeat one statement; the annotation says its class to pglane and is a comment to everybody else."""

    def __init__(self, name, lane, n_clients, sql):
        self.name, self.lane, self.n_clients, self.sql = name, lane, n_clients, sql

    def script(self, site):
        setup, _, statement = self.sql.rpartition("\n")
        return site.write(f"{self.name}.sql", f"{setup}\n/*ml_class='{self.name}'*/ {statement};\n".lstrip())

    def start(self, site, port, *arguments):
        argv = ["pgbench", "-n", "-h", "127.0.0.1", "-p", str(port), "-U", TRUST_USER, "-c", str(self.n_clients), "-j", "2", "-f", self.script(site),
                *arguments, DATABASE]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=client_environment(), cwd=site.directory)


SERVING = Workload("serving", "ml", 8, f"\\set aid random(1, 100000 * {SCALE})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid")
STORM = [Workload("training", "training", 48, "SELECT pg_sleep(2)"), Workload("vector", "vector", 24, "SELECT pg_sleep(0.05)"),
         Workload("hybrid", "ml", 6, "SELECT pg_sleep(0.02)")]


class Deployment:
    """What stands between the clients and PostgreSQL: peers = {lane: Peer}, the same one for several lanes or not; none: PostgreSQL itself."""

    def __init__(self, site, name, title, peers):
        self.site, self.name, self.title, self.peers = site, name, title, peers

    @contextlib.contextmanager
    def running(self):
        """Yields {lane: port}."""
        processes = {}
        try:
            for peer in dict.fromkeys(self.peers.values()):
                processes[peer] = peer.start("trust")
            yield {lane: processes[self.peers[lane]].port if self.peers else self.site.postgres.port for lane in LANES}
            for process in processes.values():
                process.must_live()
        finally:
            for peer, process in processes.items():
                peer.stop(process)


def deployments(site, arguments):
    def pgbouncer(size, name="pgbouncer"):
        peer = PgBouncer(site, arguments.pgbouncer, size)
        peer.name = name
        return peer

    pglane, one = Pglane(site, arguments.pglane, "1", LANES), pgbouncer(TOTAL)
    split = {lane: pgbouncer(keys["permits"], f"pgbouncer-{lane}") for lane, keys in LANES.items()}
    version = one.version()
    return [
        Deployment(site, "pglane", f"pglane {pglane.version()}, lanes", dict.fromkeys(LANES, pglane)),
        Deployment(site, "pgbouncer", f"pgbouncer {version}, one pool of {TOTAL}", dict.fromkeys(LANES, one)),
        Deployment(site, "split", f"pgbouncer {version}, one for each workload", split),
        Deployment(site, "direct", "no pooler, a connection for each client", {}),
    ]


class Run:
    """One deployment through a calm, a storm and a calm again: transactions = [(begin, end)] in seconds of the clock, of serving."""

    def __init__(self, transactions, storm_begin_s, storm_end_s, n_servers):
        self.transactions, self.storm_begin_s, self.storm_end_s, self.n_servers = transactions, storm_begin_s, storm_end_s, n_servers
        self.first_s = min(begin for begin, _ in transactions)

    def figures(self, from_s, to_s):
        """Percentiles in ms and throughput of the transactions that began in this time."""
        took_ms = sorted((end - begin) * 1000 for begin, end in self.transactions if from_s <= begin < to_s)
        if not took_ms:
            raise BenchError("no serving transaction began in a whole period")
        figures = {f"p{p:g}": took_ms[min(len(took_ms) - 1, int(len(took_ms) * p / 100))] for p in PERCENTILES}
        return {**figures, "tps": len(took_ms) / (to_s - from_s)}

    def alone(self):
        return self.figures(self.first_s + SETTLE_S, self.storm_begin_s)

    def under_storm(self):
        return self.figures(self.storm_begin_s + SETTLE_S, self.storm_end_s)

    def ratio(self, percentile="p99"):
        return self.under_storm()[percentile] / self.alone()[percentile]


def read_log(prefix):
    """pgbench's log of every transaction: its end by the clock and what it took."""
    transactions = []
    for path in glob.glob(prefix + ".*"):
        with open(path, encoding="ascii") as log:
            for line in log:
                fields = line.split()
                end_s = int(fields[4]) + int(fields[5]) / 1e6
                transactions.append((end_s - int(fields[2]) / 1e6, end_s))
        os.unlink(path)
    if not transactions:
        raise BenchError("the serving clients have done nothing")
    return transactions


def finish(process, what, timeout_s):
    try:
        _, said = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise BenchError(f"the clients of {what} did not end") from error
    if process.returncode != 0:
        raise BenchError(f"the clients of {what}: {said.strip()[-300:]}")


def count_servers(site):
    return int(site.postgres.psql("postgres", f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{DATABASE}'"))


def storm(site, ports, seconds):
    """Runs it; returns (begin, end, servers that PostgreSQL counts in its middle). Its clients are gone when it ends, as killed jobs are."""
    begin_s = time.time()
    loads = [(load, load.start(site, ports[load.lane], "-T", str(seconds + 60))) for load in STORM]
    try:
        time.sleep(seconds / 2)
        n_servers = count_servers(site)
        time.sleep(max(0, begin_s + seconds - time.time()))
        for load, process in loads:
            if process.poll() is not None:
                raise BenchError(f"the clients of {load.name} ended in the storm: {process.communicate()[1].strip()[-300:]}")
        return begin_s, time.time(), n_servers
    finally:
        for _, process in loads:
            process.kill()
        for _, process in loads:
            process.communicate()


def run_once(deployment, calm_s, storm_s):
    site = deployment.site
    prefix = site.path("serving-log")
    with deployment.running() as ports:
        serving = SERVING.start(site, ports[SERVING.lane], "-T", str(calm_s + storm_s + calm_s), "--log", f"--log-prefix={prefix}")
        try:
            time.sleep(calm_s)
            begin_s, end_s, n_servers = storm(site, ports, storm_s)
            finish(serving, "serving", calm_s + 60)
        finally:
            serving.kill()
            serving.communicate()
    return Run(read_log(prefix), begin_s, end_s, n_servers)


def middle_of(runs):
    """The run whose p99 under storm is the median: the one to draw."""
    return sorted(runs, key=lambda run: run.under_storm()["p99"])[(len(runs) - 1) // 2]


def over_time(run, bin_s):
    """[(seconds from the storm's begin, median ms, p99 ms)]: of the transactions in flight in each slice of time, so that one that waits
    long is seen all the while."""
    slices = {}
    for begin_s, end_s in run.transactions:
        first, last = (int((at_s - run.first_s) / bin_s) for at_s in (begin_s, end_s))
        for i in range(first, last + 1):
            slices.setdefault(i, []).append((end_s - begin_s) * 1000)
    points = []
    for i, took_ms in sorted(slices.items())[:-1]:  # the last one is not whole
        took_ms.sort()
        points.append((run.first_s + (i + 0.5) * bin_s - run.storm_begin_s, statistics.median(took_ms), took_ms[int(len(took_ms) * 0.99)]))
    return points
