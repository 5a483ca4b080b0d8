# SPDX-License-Identifier: ISC
"""A day in fast motion: what is asked for shifts from hour to hour, and shares that were right in the morning are wrong at night.

Every deployment has the same number of connections. pglane lets full lanes spill into others, long statements hop, and learns which statements
belong to training although nobody says so; beside it stand one pgbouncer for each workload, and pglane with its lanes alone."""

import contextlib
import os
import statistics
import sys
import time

from peers import SCALE, TRUST_USER, BenchError, PgBouncer, Pglane
from storm import Workload, read_log

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from harness import wire  # noqa: E402 (the path comes first)

SIZES = {"default": 20, "ml": 6, "vector": 6, "training": 6, "priority": 2}
TOTAL = sum(SIZES.values())
MOVES = {"default": {"spill": "training:4", "hop_after": "250ms", "hop_to": "training"}, "ml": {"spill": "default:16"},
         "vector": {"spill": "default:14"}, "training": {"spill": "default:14"}}
BULK_ROWS = 1000
SERVING_RATE = 200  # a second: what serving has to do is the same all day
SETTLE_S = 0.5  # of each hour: clients log in


class Work(Workload):
    """A workload whose statement holds its connection for that long. Who does not annotate goes where the application goes otherwise."""

    def __init__(self, name, lane, sql, holds_s, annotated=True):
        super().__init__(name, lane, 0, sql)
        self.holds_s, self.annotated = holds_s, annotated

    def script(self, site):
        setup, _, statement = self.sql.rpartition("\n")
        annotation = f"/*ml_class='{self.name}'*/ " if self.annotated else ""
        return site.write(f"shift-{self.name}.sql", f"{setup}\n{annotation}{statement};\n".lstrip())


# Only `default` decides what nobody annotates. A report is told from the other statements of its application by what it does: it runs for 0.4 s and
# returns 2,000 rows.
WORKS = {work.name: work for work in (
    Work("serving", "ml", f"\\set aid random(1, 100000 * {SCALE})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid", 0),
    Work("oltp", "default", "SELECT pg_sleep(0.02)", 0.02, annotated=False),
    Work("vector", "vector", "SELECT pg_sleep(0.05)", 0.05),
    Work("training", "training", "SELECT pg_sleep(0.4)", 0.4),
    Work("report", "default", "SELECT g AS report FROM pg_sleep(0.4), generate_series(1, 2000) g", 0.4, annotated=False),
)}

# name, clients of each workload; 4 of serving are there all day
HOURS = (
    ("OLTP peak", {"oltp": 60, "training": 2}),
    ("vector peak", {"vector": 40, "oltp": 8}),
    ("reports that nobody annotated", {"report": 16, "oltp": 40}),
    ("reports and training", {"report": 12, "training": 6, "oltp": 40}),
    ("night: training", {"training": 40, "oltp": 4}),
    ("OLTP and vector", {"oltp": 60, "vector": 20}),
)
BEFORE_DAWN = {"oltp": 40, "vector": 10, "training": 10}  # not counted: every deployment opens its connections


class Warm(Pglane):
    """All of the budget is kept open, as the pools of a pgbouncer are once they were needed: nobody waits for a login to PostgreSQL."""

    def common_lines(self, variant, port):
        return super().common_lines(variant, port) + f"warm_min = {TOTAL}\n"


class Learning(Warm):
    """With spill, hop and learning."""

    def common_lines(self, variant, port):
        return super().common_lines(variant, port) + f"workload_detection = on\nbulk_rows = {BULK_ROWS}\n"


class Deployment:
    def __init__(self, site, name, title, peers):
        self.site, self.name, self.title, self.peers = site, name, title, peers

    @contextlib.contextmanager
    def running(self):
        """Yields {lane: port}."""
        processes = {}
        try:
            for peer in dict.fromkeys(self.peers.values()):
                processes[peer] = peer.start("trust")
            yield {lane: processes[peer].port for lane, peer in self.peers.items()}
            for process in processes.values():
                process.must_live()
        finally:
            for peer, process in processes.items():
                peer.stop(process)


def deployments(site, arguments):
    lanes = {name: {"permits": size} for name, size in SIZES.items()}
    moving = Learning(site, arguments.pglane, "1", {name: {**keys, **MOVES.get(name, {})} for name, keys in lanes.items()})
    alone = Warm(site, arguments.pglane, "1", {name: {**keys, "spill": ""} for name, keys in lanes.items()})
    alone.name = "pglane-lanes"
    split = {}
    for lane, size in SIZES.items():
        # the connections of the lane that only priorities reach are added to those of OLTP
        split[lane] = PgBouncer(site, arguments.pgbouncer, size + (SIZES["priority"] if lane == "default" else 0))
        split[lane].name = f"pgbouncer-{lane}"
    del split["priority"]
    version = moving.version()
    return [
        Deployment(site, "moving", f"pglane {version}: spill, hop, learning", dict.fromkeys(SIZES, moving)),
        Deployment(site, "split", f"pgbouncer {split['default'].version()}, one for each workload", split),
        Deployment(site, "lanes", f"pglane {version}, lanes alone", dict.fromkeys(SIZES, alone)),
    ]


class Hour:
    """What was done in one: {workload: [ms of each transaction that ended in it]}, over so many seconds."""

    def __init__(self, took_ms, seconds):
        self.took_ms, self.seconds = took_ms, seconds

    def rate(self, name):
        return len(self.took_ms.get(name, ())) / self.seconds

    def statements(self):
        return sum(self.rate(name) for name in self.took_ms)

    def work(self):
        """Seconds of statements done in each second: as many connections were of use."""
        return sum(self.rate(name) * WORKS[name].holds_s for name in self.took_ms)


class Day:
    def __init__(self, hours, learned, moved):
        self.hours, self.learned, self.moved = hours, learned, moved

    def work(self):
        return statistics.mean(hour.work() for hour in self.hours)

    def statements(self):
        return statistics.mean(hour.statements() for hour in self.hours)

    def serving_ms(self, percent):
        return percentile([ms for hour in self.hours for ms in hour.took_ms["serving"]], percent)


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def start(work, site, port, n_clients, seconds, prefix):
    work.n_clients = n_clients
    pace = ("-R", str(SERVING_RATE)) if work.name == "serving" else ()
    return work.start(site, port, "-T", str(seconds), *pace, "--log", f"--log-prefix={prefix}")


def run_hour(site, ports, clients, seconds):
    begin_s = time.time()
    prefixes = {name: site.path(f"shift-log-{name}") for name in clients}
    processes = {name: start(WORKS[name], site, ports[WORKS[name].lane], n, seconds, prefixes[name]) for name, n in clients.items()}
    try:
        for name, process in processes.items():
            _, said = process.communicate(timeout=seconds + 60)
            if process.returncode != 0:
                raise BenchError(f"the clients of {name}: {said.strip()[-300:]}")
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    from_s, to_s = begin_s + SETTLE_S, begin_s + seconds
    took_ms = {name: [(end_s - start_s) * 1000 for start_s, end_s in read_log(prefixes[name]) if from_s <= end_s < to_s] for name in clients}
    return Hour(took_ms, to_s - from_s)


def told(port, command):
    """Rows of a command of pglane's console, by column."""
    with contextlib.closing(wire.RawClient("127.0.0.1", port)) as console:
        console.login(user=TRUST_USER, database="pglane")
        result = console.query(command)
    names = [name for name, _ in result.columns]
    return [dict(zip(names, (value.decode() for value in row))) for row in result.rows if None not in row]


def run_day(deployment, hour_s):
    hours, learned, moved = [], [], {}
    with deployment.running() as ports:
        run_hour(deployment.site, ports, {"serving": 4, **BEFORE_DAWN}, hour_s)
        for name, clients in HOURS:
            hours.append(run_hour(deployment.site, ports, {"serving": 4, **clients}, hour_s))
            print(f"      {name:32} {hours[-1].work():5.1f} of {TOTAL} of use, {hours[-1].statements():6.0f}/s; "
                  f"serving p99 {percentile(hours[-1].took_ms['serving'], 99):.2f} ms", flush=True)
        if deployment.name == "moving":
            learned = [row["query"] for row in told(ports["default"], "SHOW FINGERPRINTS chosen=learned")]
            moved = {row["lane"]: row for row in told(ports["default"], "SHOW LANES")}
    return Day(hours, learned, moved)
