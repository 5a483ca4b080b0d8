# SPDX-License-Identifier: ISC
"""What is measured: one class for each kind of cell. measure(peer, process) gives a dict of figures, or raises."""

import re
import select
import subprocess
import time

from peers import (DATABASE, SCALE, SCRAM_PASSWORD, SCRAM_USER, TRUST_USER, BenchError, NotSupported, client_environment,
                   run_tool)

SCRIPTS = {"transaction": f"""\\set aid random(1, 100000 * {SCALE})
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
COMMIT;
""", "login": "\\set nothing 1\n", "hold": "SELECT pg_sleep(0.005);\n"}
PROGRESS = re.compile(r"progress: ([\d.]+) s, ([\d.]+) tps")
SOCKET_CALLS = ("recvfrom", "recvmsg", "read", "readv", "sendto", "sendmsg", "write", "writev")
WAIT_CALLS = ("epoll_wait", "epoll_pwait", "epoll_pwait2")
COUNTED_CALLS = (*SOCKET_CALLS, *WAIT_CALLS, "epoll_ctl", "futex")


def script_arguments(site, mode):
    if mode in SCRIPTS:
        return [*(["-C"] if mode == "login" else ["-M", "simple", "-D", "first=1"]), "-f", site.write(f"{mode}.sql", SCRIPTS[mode])]
    return ["-S", "-M", mode]


def pgbench(site, process, mode, n_clients, seconds):
    return ["pgbench", "-n", "-h", "127.0.0.1", "-p", str(process.port), "-U", SCRAM_USER if mode == "login" else TRUST_USER,
            "-c", str(n_clients), "-j", "2", "-T", str(seconds), *script_arguments(site, mode), DATABASE]


class Load:
    """A pgbench that is running. Its progress lines, one a second, are the clock: figures are taken from line to line, so that
    neither the connecting of the clients nor their leaving is counted."""

    def __init__(self, site, process, mode, n_clients, seconds):
        scram = mode == "login"
        argv = pgbench(site, process, mode, n_clients, seconds) + ["-P", "1", "--progress-timestamp"]
        self.words = []
        self.limit_s = seconds + 30
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      text=True, bufsize=1, env=client_environment(SCRAM_PASSWORD if scram else None))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self.popen.stderr.close()

    def progress(self):
        """Yields (time in seconds, transactions per second since the line before) as the lines come."""
        deadline = time.monotonic() + self.limit_s
        while True:
            if not select.select([self.popen.stderr], [], [], max(0, deadline - time.monotonic()))[0]:
                raise BenchError(f"pgbench said nothing for {self.limit_s:.0f} s")
            line = self.popen.stderr.readline()
            if not line:
                break
            match = PROGRESS.match(line)
            if match:
                yield float(match.group(1)), float(match.group(2))
            else:
                self.words.append(line.strip())
        if self.popen.wait() != 0:
            raise BenchError("pgbench: " + " | ".join([word for word in self.words if "error" in word][:2] or self.words[-2:]))


class SelectCell:
    """CPU of the proxy per transaction, and the throughput."""

    headline = "cpu_us"
    repeats = True

    def __init__(self, site, mode, n_clients, seconds):
        self.site, self.mode, self.n_clients, self.seconds = site, mode, n_clients, seconds
        self.name = f"{mode}-{n_clients}"
        self.title = {"simple": "select-only, simple", "extended": "select-only, extended", "prepared": "select-only, prepared",
                      "transaction": "BEGIN; SELECT; COMMIT", "login": "login with SCRAM", "hold": "pg_sleep(0.005)"}[mode] + f", {n_clients} clients"
        self.variant = "scram" if mode == "login" else "trust"

    def check(self, peer):
        if self.mode not in (*peer.modes, "login"):
            raise NotSupported("not supported")
        if self.n_clients > peer.max_clients:
            raise NotSupported("one server each")

    def measure(self, peer, process):
        marks = []
        n_transactions = 0.0
        with Load(self.site, process, self.mode, self.n_clients, self.seconds + 1) as load:
            for at_s, tps in load.progress():
                if marks:
                    n_transactions += tps * (at_s - marks[-1][0])
                marks.append((at_s, *process.cpu_us()))
        elapsed_s, cpu_us, user_us = (last - first for first, last in zip(marks[0], marks[-1])) if marks else (0, 0, 0)
        if n_transactions < 1:
            raise BenchError(f"no transactions in {elapsed_s:.1f} s")
        return {"cpu_us": cpu_us / n_transactions, "user_us": user_us / n_transactions, "tps": n_transactions / elapsed_s}

    def text(self, figures):
        return f"{figures['cpu_us']:.1f} µs ({figures['user_us']:.1f} user), {figures['tps']:,.0f}/s"


class CopyCell:
    """CPU seconds per GB of a bulk result, to a client that only drains."""

    name, title, variant, headline, repeats = "copy", "COPY … TO STDOUT, 1 GB", "trust", "cpu_s_per_gb", True
    times = 5  # of 204 MB each

    def __init__(self, site):
        self.site = site

    def check(self, peer):
        pass

    def measure(self, peer, process):
        before_us = process.cpu_us()[0]
        done = subprocess.run([self.site.path("drain"), str(process.port), TRUST_USER, DATABASE, str(self.times),
                               "COPY pgbench_accounts TO STDOUT"], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise BenchError(f"drain: {done.stderr.strip()}")
        n_bytes, seconds = (float(word) for word in done.stdout.split())
        cpu_s = (process.cpu_us()[0] - before_us) / 1e6
        return {"cpu_s_per_gb": cpu_s / (n_bytes / 1e9), "mb_per_s": n_bytes / 1e6 / seconds}

    def text(self, figures):
        return f"{figures['cpu_s_per_gb']:.2f} s/GB, {figures['mb_per_s']:.0f} MB/s"


class IdleCell:
    """Resident memory that each of many idle clients adds to a fresh proxy. A few come first: what is allocated once for all
    clients is not theirs."""

    headline, repeats = "bytes", False
    n_first = 16

    def __init__(self, site, kind, n_clients):
        self.site, self.kind, self.n_clients = site, kind, n_clients
        self.name = f"idle-{kind}"
        self.title = f"memory per idle client of {n_clients:,}, {'TLS' if kind == 'tls' else 'no TLS'}"
        self.variant = "tls" if kind == "tls" else "trust"

    def check(self, peer):
        if self.variant not in peer.variants:
            raise NotSupported("not supported")
        if self.n_clients > peer.max_clients:
            raise NotSupported("one server each")

    def hold(self, process, n_clients):
        """idle_clients with n_clients logged in; it leaves when its input is closed."""
        holder = subprocess.Popen([self.site.path("idle_clients"), str(process.port), TRUST_USER, DATABASE, str(n_clients), self.kind],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready, _, _ = select.select([holder.stdout], [], [], 120)
        if ready and holder.stdout.readline() == "ready\n":
            return holder
        holder.kill()
        raise BenchError(f"idle_clients: {holder.communicate()[1].strip() or 'not all logged in after 120 s'}")

    def measure(self, peer, _):
        process = peer.start(self.variant)
        holders = []
        try:
            holders.append(self.hold(process, self.n_first))
            before = process.rss_bytes()
            holders.append(self.hold(process, self.n_clients))
            return {"bytes": (process.rss_bytes() - before) / self.n_clients}
        finally:
            for holder in holders:
                holder.communicate()
            peer.stop(process)

    def text(self, figures):
        return f"{figures['bytes']:,.0f} B"


class SyscallCell:
    """System calls of the proxy per transaction at full speed, counted by the kernel's tracepoints (strace would slow it down to
    another load)."""

    headline, repeats, variant = "total", False, "trust"

    def __init__(self, site, mode, n_clients, seconds):
        self.site, self.mode, self.n_clients, self.seconds = site, mode, n_clients, seconds
        self.name = f"syscalls-{mode}-{n_clients}"
        self.title = f"system calls: {'BEGIN; SELECT; COMMIT' if mode == 'transaction' else mode}, {n_clients} clients"

    check = SelectCell.check

    def measure(self, peer, process):
        """perf runs pgbench and counts the proxy meanwhile. Logins are in it: some ten calls for each client, among thousands of
        transactions."""
        counters = []
        for call in COUNTED_CALLS:
            counters += ["-e", f"syscalls:sys_enter_{call}"]
        out = self.site.path("perf.csv")
        argv = ["perf", "stat", "-x,", "-o", out, "-e", "raw_syscalls:sys_enter", *counters, "-p", str(process.pid), "--",
                *pgbench(self.site, process, self.mode, self.n_clients, self.seconds)]
        done = run_tool(argv, env=client_environment(), timeout=self.seconds + 60)
        n_transactions = int(re.search(r"transactions actually processed: (\d+)", done).group(1))
        counts = {}
        with open(out, encoding="ascii") as rows:
            for fields in (row.split(",") for row in rows):
                if len(fields) > 2 and fields[0].isdigit():
                    counts[fields[2].rpartition(":")[2].removeprefix("sys_enter_")] = int(fields[0])
        if not counts.get("sys_enter") or not n_transactions:
            raise BenchError("perf stat counted nothing: it needs root and the kernel's tracepoints")
        per = {name: count / n_transactions for name, count in counts.items()}
        total = per["sys_enter"]  # of raw_syscalls: every call there is
        figures = {"total": total, "sockets": sum(per.get(call, 0) for call in SOCKET_CALLS),
                   "waits": sum(per.get(call, 0) for call in WAIT_CALLS), "epoll_ctl": per.get("epoll_ctl", 0),
                   "futex": per.get("futex", 0)}
        figures["other"] = total - figures["sockets"] - figures["waits"] - figures["epoll_ctl"]
        return figures

    def text(self, figures):
        return (f"{figures['total']:.2f}: {figures['sockets']:.2f} socket, {figures['waits']:.2f} wait, "
                f"{figures['epoll_ctl']:.2f} ctl, {figures['other']:.2f} other")


def all_cells(site, seconds):
    cells = [SelectCell(site, mode, n, seconds) for mode in ("simple", "extended", "prepared", "transaction") for n in (8, 64, 1000)]
    cells += [CopyCell(site), SelectCell(site, "login", 8, seconds)]
    cells += [IdleCell(site, kind, 10000) for kind in ("plain", "tls")]
    cells += [SyscallCell(site, mode, 8, 2) for mode in ("simple", "extended", "prepared", "transaction")]
    cells += [SyscallCell(site, mode, 64, 2) for mode in ("simple", "prepared")]
    return cells
