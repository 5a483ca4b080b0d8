# SPDX-License-Identifier: ISC
"""Node's drivers, pg and postgres.js, fetched from npm's registry in the versions that node/package-lock.json names."""

import pathlib

import pytest

from harness import foreign

pytestmark = pytest.mark.timeout(900)

SOURCES = sorted(path for path in pathlib.Path(__file__).with_name("node").iterdir() if path.is_file())


@pytest.fixture(scope="module")
def modules():
    foreign.tool("node")
    return foreign.made("node", SOURCES, [foreign.tool("npm"), "ci", "--ignore-scripts", "--fetch-retries=1", "--no-audit", "--no-fund"])


@pytest.fixture(params=["suite_pg.js", "suite_postgres.mjs"])
def suite(request, modules):
    return [foreign.tool("node"), modules / request.param]


def test_two_servers(suite, start):
    foreign.same_as_direct(suite, "plain", start(lanes={"default": 2, "training": 2}))


def test_state_of_sessions(suite, start):
    foreign.same_as_direct(suite, "session", start(lanes={"default": 12, "training": 2}, sections={"lane:default": {"max_pinned": 12}}))
