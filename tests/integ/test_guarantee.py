# SPDX-License-Identifier: ISC
"""The guarantee: whatever the other lanes are asked for, a lane's own statements never wait while it has a free permit."""

import subprocess

import pytest

from harness import system
from harness.cluster import binaries
from harness.traffic import Background, in_parallel, scaled

PERMITS = {"default": 2, "ml": 4, "vector": 1, "training": 1, "priority": 1}
STORM_FACTOR = 50  # clients for each permit
STORM_CLASSES = {"default": "default", "vector": "vector", "training": "training"}  # lane: class; serving's lane is ml
SERVING = "/*ml_class='serving'*/ SELECT 1"

# What the others do: hold their permits for ever, or take and give them back as fast as they can, by turns of the server's own time.
STORMS = {"held": "SELECT pg_sleep(600)", "busy": "SELECT pg_sleep(0.002)", "transactions": "BEGIN; SELECT 1; SELECT pg_sleep(0.002); COMMIT"}


def lanes(proxy):
    with proxy.console() as console:
        return {row["lane"]: row for row in console.show("LANES")}


class Storm:
    """A pgbench for each of the other lanes, with STORM_FACTOR clients for each of its permits."""

    def __init__(self, proxy, sql, directory):
        self.proxy, self.processes = proxy, []
        for lane, query_class in STORM_CLASSES.items():
            script = directory / f"{lane}.sql"
            script.write_text("".join(f"/*ml_class='{query_class}'*/ {statement};\n" for statement in sql.split("; ")))
            self.start(lane, script)

    def start(self, lane, script):
        command = [f"{binaries()}/pgbench", "-n", "-T", 600, "-c", STORM_FACTOR * PERMITS[lane], "-f", script,
                   "-h", self.proxy.host, "-p", self.proxy.port, "-U", "app", "app"]
        self.processes.append(subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL))

    def rages(self):
        """Every other lane is full, and nearly all of its clients wait; some may be between two statements."""
        assert all(process.poll() is None for process in self.processes)
        now = lanes(self.proxy)
        return all(now[lane]["waiting"] >= STORM_FACTOR * PERMITS[lane] * 3 // 4 for lane in STORM_CLASSES)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", STORMS)
def test_statements_of_a_lane_with_free_permits_never_wait(start, tmp_path, kind):
    """As many serving clients as ml has permits; the count of those that queued says that none did, at any instant."""
    proxy = start(lanes=PERMITS, queue_timeout=300, max_client_conn=1000)

    def serve(_):
        with proxy.client() as client:
            for _ in range(scaled(400, 50)):
                assert client.query(SERVING).value == "1"

    with Storm(proxy, STORMS[kind], tmp_path) as storm:
        system.eventually(storm.rages, 60, "the storm")
        before = lanes(proxy)
        in_parallel(PERMITS["ml"], serve)
        after = lanes(proxy)
        system.eventually(storm.rages, 10, "the storm's going on")
    assert after["ml"]["granted"] - before["ml"]["granted"] == PERMITS["ml"] * scaled(400, 50)
    assert (after["ml"]["queued"], after["ml"]["refused"], after["ml"]["max_wait_us"]) == (0, 0, 0)
    for lane in STORM_CLASSES:
        assert after[lane]["queued"] >= STORM_FACTOR * PERMITS[lane] * 3 // 4, "the others did wait"
    system.eventually(lambda: not any(row["in_use"] or row["waiting"] for row in lanes(proxy).values()), 30, "the permits' return")


# Whose server is guarded, what the others are asked for, and where the others get permits of its lane.
GUARDED = {
    "ml": ("serving", "default", {}),
    "default": ("default", "hybrid", {"lane:ml": {"spill": "default:2"}}),
}
POOLS = 24


class PoolStorm(Background):
    """Clients of as many pools as a budget has servers twice over, each with statements of its own class, one after the other."""

    def __init__(self, proxy, query_class):
        self.proxy, self.query_class = proxy, query_class
        self.served, self.backends = [0] * POOLS, set()
        super().__init__(*(self.client(i) for i in range(POOLS)))

    def client(self, i):
        def work(stop):
            with self.proxy.client(user=("app", "u_other")[i % 2], database=f"storm{i // 2}", timeout_s=120) as client:
                while not stop.is_set():
                    result = client.query(f"/*ml_class='{self.query_class}'*/ SELECT pg_backend_pid() FROM pg_sleep(0.002)")
                    assert not result.errors, result.errors[0].fields
                    self.backends.add(result.value)
                    self.served[i] += 1
        return work

    def goes_round(self):
        """Every pool is served once more: had the least recently used server to go, all that were idle are gone."""
        assert not self.errors, self.errors
        before = list(self.served)
        system.eventually(lambda: all(now > then for now, then in zip(self.served, before)), 60, "each pool's next statement")


@pytest.mark.parametrize("lane", GUARDED)
def test_a_lane_with_free_permits_keeps_its_idle_server(start, lane):
    """Many databases and users want more servers than the budget has: none of them gets the one idle server of another lane's pool."""
    query_class, others, sections = GUARDED[lane]
    proxy = start(lanes={"default": 4, "ml": 2, "vector": 2, "training": 2, "priority": 2}, queue_timeout=120, sections=sections,
                  databases={f"storm{i}": "{server} dbname=app" for i in range(POOLS // 2)})
    statement = f"/*ml_class='{query_class}'*/ SELECT pg_backend_pid()"
    with PoolStorm(proxy, others) as storm, proxy.client() as client:
        storm.goes_round()
        backend, queued = client.query(statement).value, lanes(proxy)[lane]["queued"]  # the storm's logins may have waited
        begun_with = len(storm.backends)
        for n in range(scaled(5, 2)):
            storm.goes_round()
            assert client.query(statement).value == backend, f"statement {n} had to wait for a login"
        assert len(storm.backends) - begun_with > POOLS, "the others did take each other's servers"
    assert lanes(proxy)[lane]["queued"] == queued
