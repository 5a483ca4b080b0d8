# SPDX-License-Identifier: ISC
"""psycopg 3, psycopg2 and asyncpg beside a direct connection: what their documentation shows, four programs at once."""

import pathlib

import pytest

from harness import foreign

SUITES = pathlib.Path(__file__).with_name("python")


@pytest.fixture(params=["suite_psycopg3.py", "suite_psycopg2.py", "suite_asyncpg.py"])
def suite(request):
    return ["/usr/bin/python3", SUITES / request.param]


def test_two_servers(suite, start):
    foreign.same_as_direct(suite, "plain", start(lanes={"default": 2, "training": 2}))


def test_state_of_sessions(suite, start):
    foreign.same_as_direct(suite, "session", start(lanes={"default": 12, "training": 2}, sections={"lane:default": {"max_pinned": 12}}))
