# SPDX-License-Identifier: ISC
"""Fixtures: one PostgreSQL for the run, pglane as often as a test wants it."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import proxy as proxy_module  # noqa: E402 (the path comes first)
from harness import system  # noqa: E402
from harness.cluster import Cluster, binaries  # noqa: E402


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


@pytest.fixture(scope="module")
def shared(cluster, program):
    """One Proxy with the test defaults for all tests of a module."""
    proxy = proxy_module.Proxy(cluster, program)
    yield proxy
    stop_all([proxy])


def stop_all(proxies):
    """Stops every one before the first failure is raised."""
    errors = []
    for proxy in proxies:
        try:
            if proxy.process.returncode is None:
                proxy.stop()
            else:
                proxy.check_log()
                system.remove(proxy.directory)
        except AssertionError as error:
            errors.append(error)
    if errors:
        raise errors[0]
