# SPDX-License-Identifier: ISC
"""One worker and two: CPU per transaction, how the work came to be shared, and how often a thread had to wait for a lock."""

import os
import re

from cells import SelectCell, SyscallCell
from peers import BenchError, Pglane, run_tool

MODES = ("simple", "prepared")
N_CLIENTS = 64


class Shared(SelectCell):
    """With the percentage that the busiest thread had of the CPU time."""

    def measure(self, peer, process):
        before_us = process.thread_cpu_us()
        figures = super().measure(peer, process)
        used_us = [us - before_us.get(thread, 0) for thread, us in process.thread_cpu_us().items()]
        return {**figures, "busiest_percent": max(used_us) / sum(used_us) * 100}

    def text(self, figures):
        return f"{super().text(figures)}, busiest thread {figures['busiest_percent']:.0f} %"


def measure(site, arguments):
    """({mode: {workers: [figures of each round]}}, {(mode, workers): futex calls for a transaction or why not})"""
    peers = {n: Pglane(site, arguments.pglane, str(n)) for n in (1, 2)}
    processes = {n: peer.start("trust") for n, peer in peers.items()}
    results, futexes = {}, {}
    try:
        for mode in MODES:
            cell = Shared(site, mode, N_CLIENTS, arguments.seconds)
            results[mode] = {n: [] for n in peers}
            for _ in range(arguments.rounds):
                for n, peer in peers.items():
                    results[mode][n].append(cell.measure(peer, processes[n]))
                    print(f"    {n} worker{'s' if n > 1 else ' '} {mode:8} {cell.text(results[mode][n][-1])}", flush=True)
            for n, peer in peers.items():
                try:
                    futexes[mode, n] = SyscallCell(site, mode, N_CLIENTS, arguments.seconds).measure(peer, processes[n])["futex"]
                except BenchError as error:
                    futexes[mode, n] = str(error)
    finally:
        for n, peer in peers.items():
            peer.stop(processes[n])
    return results, futexes


def ledger_ns(arguments):
    """{threads: ns per call of the ledger} of bench_lane, which the build makes on demand."""
    build = os.path.dirname(os.path.abspath(arguments.pglane))
    run_tool(["ninja", "-C", build, "bench/bench_lane"])
    said = {n: run_tool([os.path.join(build, "bench", "bench_lane"), str(n), "1000000"]) for n in (1, 2)}
    return {n: float(re.search(r"([\d.]+) ns", words).group(1)) for n, words in said.items()}
