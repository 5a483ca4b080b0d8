# SPDX-License-Identifier: ISC
"""Fixtures: one PostgreSQL for the run, pglane as often as a test wants it."""

import os
import pathlib
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import proxy as proxy_module  # noqa: E402 (the path comes first)
from harness import system  # noqa: E402
from harness.cluster import Cluster, binaries  # noqa: E402
from harness.weaviate import Weaviate  # noqa: E402


# A client library that waits inside a C call hears no signal. Past this time the proxies are killed, so that it returns, and
# its test fails with their logs; pytest's own limit is beyond it.
WATCHDOG_S = float(os.environ.get("PGLANE_WATCHDOG_S", "150"))


@pytest.fixture(autouse=True)
def watchdog():
    def bark():
        for proxy in list(proxy_module.LIVING):
            proxy.give_up(f"a test is stuck after {WATCHDOG_S} s")

    timer = threading.Timer(WATCHDOG_S, bark)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


def pytest_configure(config):
    system.raise_file_limit()


@pytest.fixture(scope="session")
def cluster():
    """PostgreSQL. Tests that hurt it put it right again."""
    cluster = Cluster()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="session")
def pgbench_tables(cluster):
    """pgbench's tables, scale 1, in the database app."""
    system.run(f"{binaries()}/pgbench", "-i", "-q", "-s", "1", "-h", cluster.directory, "-p", cluster.port, "-U", "app", "app")


@pytest.fixture(scope="session")
def weaviate_of_run():
    server = Weaviate()
    yield server
    server.stop()


@pytest.fixture
def weaviate(weaviate_of_run):
    """A Weaviate without classes and faults: the stand-in, or the real one that WEAVIATE_URL names."""
    yield weaviate_of_run
    weaviate_of_run.reset()


@pytest.fixture(scope="session")
def program():
    directory = system.temporary_directory("pglane-bin-")
    yield proxy_module.installed_binary(directory)
    system.remove(directory)


@pytest.fixture
def start(cluster, program):
    """start(**settings) -> a running Proxy; it is stopped, and its log examined, after the test."""
    running = []

    def starter(**kwargs):
        running.append(proxy_module.Proxy(cluster, program, **kwargs))
        return running[-1]

    yield starter
    stop_all(running)
    cluster.end_statements()


@pytest.fixture(scope="module")
def shared_by_module(cluster):
    running = []
    yield running
    stop_all(running)
    cluster.end_statements()


@pytest.fixture
def shared(shared_by_module, cluster, program):
    """One Proxy with the test defaults for all tests of a module; a new one if a test was the end of the last."""
    if not shared_by_module or shared_by_module[-1].process.poll() is not None:
        shared_by_module.append(proxy_module.Proxy(cluster, program))
    return shared_by_module[-1]


def stop_all(proxies):
    """Stops every one before the first failure is raised."""
    errors = []
    for proxy in proxies:
        try:
            proxy.stop()
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]
