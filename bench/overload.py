# SPDX-License-Identifier: ISC
"""A lane with many more clients than permits: throughput, and what a refusal costs once its queue is full."""

import os
import re
import sys
import time

from cells import SelectCell
from peers import DATABASE, TRUST_USER, BenchError, PgBouncer, Pglane, Process, free_port

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from harness import wire  # noqa: E402 (the path comes first)

PERMITS = 8
FACTORS = (1, 5, 10, 25, 50)  # clients for each permit
MODES = ("hold", "simple")
LANES = {"default": {"permits": PERMITS}, "ml": {"permits": 1}, "vector": {"permits": 1}, "training": {"permits": 1}, "priority": {"permits": 1}}
FULL = {**LANES, "default": {"permits": 1, "max_waiting": 1}}

STATEMENT = wire.query("SELECT 1")
IN_ANOTHER_LANE = wire.query("/*ml_class='vector'*/ SELECT 1")
READY = b"Z\0\0\0\5I"
N_COUNTED = 1000  # for callgrind, which is slow; it counts exactly
N_TIMED = 5000


class Throughput:
    """{(mode, factor): {peer's name: [figures of each round]}} of alternated rounds."""

    def __init__(self, site, arguments):
        self.site, self.seconds, self.rounds = site, arguments.seconds, arguments.rounds
        self.peers = [Pglane(site, arguments.pglane, "1", LANES), PgBouncer(site, arguments.pgbouncer, PERMITS)]

    def measure(self):
        results = {}
        processes = {peer: peer.start("trust") for peer in self.peers}
        try:
            for mode in MODES:
                for _ in range(self.rounds):
                    for factor in FACTORS:
                        for peer in self.peers:
                            cell = SelectCell(self.site, mode, factor * PERMITS, self.seconds)
                            figures = cell.measure(peer, processes[peer])
                            results.setdefault((mode, factor), {}).setdefault(peer.name, []).append(figures)
                            print(f"    {factor:2}x {mode:8} {peer.name:12} {cell.text(figures)}", flush=True)
        finally:
            for peer, process in processes.items():
                peer.stop(process)
        return results


class FullLane:
    """A lane of one permit that is held and a queue of one that is taken; client is the next to come."""

    def __init__(self, port):
        self.clients = []
        try:
            for _ in range(3):
                client = wire.RawClient("127.0.0.1", port)
                self.clients.append(client)
                client.login(user=TRUST_USER, database=DATABASE)
            holder, waiter, self.client = self.clients
            holder.query("BEGIN")
            holder.query("SELECT 1")
            waiter.send(STATEMENT)
            self.await_full()
        except BaseException:
            self.close()
            raise

    def await_full(self):
        """Until the waiter is in the queue, the next to come would take its place."""
        console = wire.RawClient("127.0.0.1", self.clients[0].socket.getpeername()[1])
        try:
            console.login(user=TRUST_USER, database="pglane")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                if any(row[0] == b"default" and row[4] == b"1" for row in console.query("SHOW LANES").rows):
                    return
        finally:
            console.close()
        raise BenchError("nobody waits in the lane")

    def exchange(self, message):
        """Sends a message; all that came back up to ReadyForQuery."""
        socket = self.client.socket
        socket.sendall(message)
        answer = socket.recv(65536)
        while not answer.endswith(READY):
            received = socket.recv(65536)
            if not received:
                raise BenchError("pglane closed the connection")
            answer += received
        return answer

    def detail(self):
        self.client.send(STATEMENT)
        errors = self.client.result().errors
        if not errors or errors[0].sqlstate != "53300":
            raise BenchError("the full lane did not refuse")
        return errors[0].fields["D"]

    def times_us(self, message):
        times = []
        for _ in range(N_TIMED):
            begin_ns = time.perf_counter_ns()
            self.exchange(message)
            times.append((time.perf_counter_ns() - begin_ns) / 1000)
        return sorted(times)

    def close(self):
        for client in self.clients:
            client.close()


def refusals_timed(site, arguments):
    """{what: (median us, p99 us)} as one client sees it, and the DETAIL of a refusal."""
    peer = Pglane(site, arguments.pglane, "1", FULL)
    process = peer.start("trust")
    try:
        lane = FullLane(process.port)
        try:
            times = {"refusal": lane.times_us(STATEMENT), "answer": lane.times_us(IN_ANOTHER_LANE)}
            detail = lane.detail()
        finally:
            lane.close()
    finally:
        peer.stop(process)
    return {what: (us[len(us) // 2], us[int(len(us) * 0.99)]) for what, us in times.items()}, detail


def instructions_of(site, arguments, message):
    """User-space instructions of a whole run of pglane with N_COUNTED of these messages (None: without) against a full lane."""
    peer = Pglane(site, arguments.pglane, "1", FULL)
    port = free_port()
    log_path = site.path(f"log-callgrind-{port}")
    argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={site.path('callgrind.out')}", *peer.argv("trust", port)]
    process = Process(argv, port, log_path)
    try:
        lane = FullLane(port)
        for _ in range(N_COUNTED if message else 0):
            lane.exchange(message)
        lane.close()
    finally:
        process.stop()
    with open(log_path, encoding="utf-8", errors="replace") as log:
        counted = re.findall(r"Collected : (\d+)", log.read())
    if not counted:
        raise BenchError(f"callgrind counted nothing; {process.last_words()}")
    return int(counted[-1])


def refusals_counted(site, arguments):
    """{what: instructions} of pglane for one of each."""
    base = instructions_of(site, arguments, None)
    return {what: (instructions_of(site, arguments, message) - base) / N_COUNTED
            for what, message in (("refusal", STATEMENT), ("answer", IN_ANOTHER_LANE))}
