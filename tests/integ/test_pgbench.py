# SPDX-License-Identifier: ISC
"""pgbench, which is what people try first: every protocol through every pool mode."""

import re

import pytest

from harness import system
from harness.cluster import binaries
from harness.traffic import scaled

CLIENTS = 20
TRANSACTIONS = scaled(200, 20)


def pgbench(proxy, *arguments):
    """A thread for each client: PQprepare() blocks a whole thread, and with it the transactions of the thread's other clients."""
    return system.run(f"{binaries()}/pgbench", "-n", "-c", CLIENTS, "-j", CLIENTS, "-t", TRANSACTIONS, "-h", proxy.host, "-p", proxy.port, "-U", "app",
                      *arguments, "app", timeout_s=200)


def check(output):
    assert f"{CLIENTS * TRANSACTIONS}/{CLIENTS * TRANSACTIONS}" in output, output
    assert int(re.search(r"number of failed transactions: (\d+)", output).group(1)) == 0, output


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_select_only(start, pgbench_tables, mode):
    # In session pooling every client keeps its server, so there must be as many.
    proxy = start(pool_mode=mode, lanes={"default": CLIENTS if mode == "session" else 5})
    for protocol in ("simple", "extended", "prepared"):
        check(pgbench(proxy, "-S", "-M", protocol))


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_transactions(start, pgbench_tables, protocol):
    proxy = start(lanes={"default": 5})
    before = history(proxy)
    check(pgbench(proxy, "-M", protocol))
    assert history(proxy) - before == CLIENTS * TRANSACTIONS
    assert proxy.run("SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)") == [(True,)]


def history(proxy):
    return proxy.run("SELECT count(*) FROM pgbench_history")[0][0]


def test_reconnect_for_every_transaction(start, pgbench_tables):
    proxy = start(lanes={"default": 5}, auth_type="scram-sha-256")
    output = system.run(f"{binaries()}/pgbench", "-n", "-S", "-C", "-c", 5, "-t", 20, "-h", proxy.host, "-p", proxy.port, "-U", "app", "app",
                        env={"PGPASSWORD": "app-secret", "PATH": "/usr/bin:/bin"}, timeout_s=200)
    assert "100/100" in output, output


def test_pipeline_mode(start, pgbench_tables, tmp_path):
    script = tmp_path / "pipeline.sql"
    script.write_text("\\set a random(1, 100000)\n\\startpipeline\n" + "SELECT abalance FROM pgbench_accounts WHERE aid = :a;\n" * 10 + "\\endpipeline\n")
    proxy = start(lanes={"default": 5})
    check(pgbench(proxy, "-M", "prepared", "-f", script))
    check(pgbench(proxy, "-M", "extended", "-f", script))
