# SPDX-License-Identifier: ISC
"""The guarantee: whatever the other lanes are asked for, a lane's own statements never wait while it has a free permit."""

import subprocess

import pytest

from harness import system
from harness.cluster import binaries
from harness.traffic import in_parallel, scaled

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
