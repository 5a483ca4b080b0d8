# SPDX-License-Identifier: ISC
"""From figures to the tables of bench/README.md: medians, ratios inside the round, the bars and by how much they are held."""

import os
import re
import statistics
import time

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# Debian's pgbouncer 1.18 cannot keep prepared statements in transaction pooling. These are figures of a build of its main branch
# (1.25.2+, July 2026) beside the same kind of relay on a machine of two EPYC cores, Linux 6, PostgreSQL 15, loopback.
# Only the ratio to the relay is used, since absolute figures move with the machine.
HEAD_PREPARED_US = {"8": 18.6, "64": 18.1, "1000": 22.7}
HEAD_RELAY_RATIO = 0.695  # relay / pgbouncer, prepared, paired rounds: 0.665 to 0.711


class Bar:
    """limit is a ratio to another peer's figure, or, without a peer, a figure."""

    def __init__(self, what, pattern, limit, peer=None, metric=None, unit=""):
        self.what, self.pattern, self.limit, self.peer, self.metric, self.unit = what, pattern, limit, peer, metric, unit


BARS = [
    Bar("CPU, simple", r"simple-(8|64)", 0.97, "pgbouncer"),
    Bar("CPU, simple", r"simple-(8|64)", 1.05, "relay"),
    Bar("CPU, extended", r"extended-(8|64)", 0.95, "pgbouncer"),
    Bar("CPU, prepared", r"prepared-(8|64)", 0.78, "pgbouncer"),
    Bar("CPU, BEGIN; SELECT; COMMIT", r"transaction-(8|64)", 0.80, "pgbouncer"),
    Bar("CPU per GB, COPY out", r"copy", 1.10, "relay"),
    Bar("CPU per login, SCRAM", r"login-8", 1.00, "pgbouncer"),
    Bar("memory per idle client", r"idle-plain", 800, None, "bytes", " B"),
    Bar("memory per idle TLS client", r"idle-tls", 12000, None, "bytes", " B"),
    Bar("socket calls per statement", r"syscalls-(simple|extended|prepared)-\d+", 4, None, "sockets"),
    Bar("epoll_waits per statement", r"syscalls-(simple|extended|prepared)-\d+", 2, None, "waits"),
    Bar("epoll_ctl per statement", r"syscalls-(simple|extended|prepared)-\d+", 0, None, "epoll_ctl"),
]
COUNT_SLACK = 0.05  # calls are divided by pgbench's own count of transactions, which is good to about 1 %


def machine():
    """As it is before the run loads it."""
    uname = os.uname()
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = re.search(r"model name\s*:\s*(.*)|$", info.read()).group(1) or uname.machine
    with open("/etc/os-release", encoding="utf-8") as release:
        system = re.search(r'^PRETTY_NAME="?([^"\n]*)', release.read(), re.M).group(1)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{len(os.sched_getaffinity(0))} cores ({model}), {memory_gib:.0f} GiB, {system}, Linux {uname.release}; "
            f"load average before the run {os.getloadavg()[0]:.1f}")


def medians(rounds):
    return {metric: statistics.median(figures[metric] for figures in rounds) for metric in rounds[0]}


def ratios(ours, theirs, metric):
    """One for each round that both have; [] when there is none."""
    if isinstance(ours, str) or isinstance(theirs, str) or not ours or not theirs:
        return []
    return [mine[metric] / other[metric] for mine, other in zip(ours, theirs) if other[metric] > 0]


def ratio_text(values):
    if not values:
        return "—"
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f}–{max(values):.2f})"


def figure_text(cell, rounds):
    if isinstance(rounds, str):
        return rounds
    return cell.text(medians(rounds)) if rounds else "—"


def pairs(peers):
    """Which ratios are columns: every pglane to both references."""
    names = [peer.name for peer in peers]
    ours = [name for name in names if name.startswith("pglane")]
    found = [(name, reference) for name in ours for reference in ("pgbouncer", "relay") if reference in names]
    return found or [(a, b) for a, b in [("relay", "pgbouncer")] if a in names and b in names]


def row(words):
    return "| " + " | ".join(words) + " |"


def figures_table(results, peers):
    columns = pairs(peers)
    lines = [row(["cell", *(f"{peer.name} {peer.version()}".strip() for peer in peers), *(f"{a} / {b}" for a, b in columns)])]
    lines.append("|" + "---|" * (1 + len(peers) + len(columns)))
    for cell, by_peer in results:
        shares = [ratio_text(ratios(by_peer[a], by_peer[b], cell.headline)) for a, b in columns]
        lines.append(row([cell.title, *(figure_text(cell, by_peer[peer.name]) for peer in peers), *shares]))
    return lines


def measured_against(bar, cell, by_peer):
    """(our value on the bar's scale or None, how it came about)"""
    ours = by_peer.get("pglane", "not run")
    if isinstance(ours, str) or not ours:
        return None, ours if isinstance(ours, str) and ours else "not run"
    if bar.peer is None:
        return medians(ours)[bar.metric], ""
    values = ratios(ours, by_peer.get(bar.peer, "not run"), cell.headline)
    if values:
        return statistics.median(values), ""
    if cell.name.startswith("prepared-") and bar.peer == "pgbouncer":
        to_relay = ratios(ours, by_peer.get("relay", "not run"), cell.headline)
        if to_relay:
            return statistics.median(to_relay) * HEAD_RELAY_RATIO, f" (pglane / relay here x {HEAD_RELAY_RATIO} in the literature)"
    return None, f"no figure of {bar.peer}"


def bar_row(bar, cell, by_peer):
    value, how = measured_against(bar, cell, by_peer)
    of = f" x {bar.peer}" if bar.peer else bar.unit
    bound = f"at most {bar.limit:,.2f}{of}" if bar.peer else f"at most {bar.limit:,}{of}"
    if value is None:
        return row([bar.what, cell.title, bound, "—", how])
    shown = f"{value:,.0f}" if bar.unit else f"{value:.2f}"
    over = value - bar.limit
    held = over <= (COUNT_SLACK if not bar.peer and not bar.unit else 0)
    if bar.limit == 0:
        verdict = "met" if held else f"**missed** by {over:.2f}"
    elif held and over >= 0:
        verdict = "met"
    else:
        verdict = f"{'met' if held else '**missed**'} by {abs(over) / bar.limit * 100:.0f} %"
    return row([bar.what, cell.title, bound, shown + of + how, verdict])


def bars_table(results):
    lines = [row(["bar", "cell", "bound", "measured", "verdict"]), "|---|---|---|---|---|"]
    for bar in BARS:
        for cell, by_peer in results:
            if re.fullmatch(bar.pattern, cell.name):
                lines.append(bar_row(bar, cell, by_peer))
    return lines


def literature(peers):
    """What is said when the pgbouncer beside us has no prepared mode."""
    if all("prepared" in peer.modes for peer in peers):
        return []
    figures = ", ".join(f"{us} µs at {n} clients" for n, us in HEAD_PREPARED_US.items())
    return ["", f"pgbouncer before 1.21 does not support prepared statements in transaction pooling. Its main branch (1.25.2+), measured "
            f"elsewhere on two EPYC cores beside the same relay: {figures}; relay / pgbouncer = {HEAD_RELAY_RATIO}."]


def render(results, peers, machine_text, postgres_version, arguments):
    lines = [f"{time.strftime('%Y-%m-%d')}, {machine_text}. PostgreSQL {postgres_version}, pgbench scale 20, "
             f"{arguments.rounds} alternated rounds of {arguments.seconds} s.", ""]
    lines += figures_table(results, peers)
    lines += literature(peers)
    if any(peer.name == "pglane" for peer in peers):
        lines += ["", *bars_table(results)]
    return "\n".join(lines) + "\n"


def write_readme(path, text, begin_marker=BEGIN, end_marker=END):
    with open(path, encoding="utf-8") as file:
        before, begin, rest = file.read().partition(begin_marker)
    _, end, after = rest.partition(end_marker)
    if not begin or not end:
        raise ValueError(f"{path}: the markers {begin_marker} and {end_marker} are missing")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(f"{before}{begin_marker}\n{text}{end_marker}{after}")
    os.replace(path + ".new", path)
