# SPDX-License-Identifier: ISC
"""Go's pgx and database/sql over it, fetched in the versions that pgx/go.sum names."""

import pathlib

import pytest

from harness import foreign

pytestmark = pytest.mark.timeout(900)

SOURCES = sorted(path for path in pathlib.Path(__file__).with_name("pgx").iterdir() if path.is_file())


@pytest.fixture(scope="module")
def suite():
    go = foreign.tool("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go")
    place = foreign.made("pgx", SOURCES, [go, "mod", "download"], [go, "build", "-mod=readonly", "-o", "suite", "."],
                         {"GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"})
    return [place / "suite"]


def test_two_servers(suite, start):
    foreign.same_as_direct(suite, "plain", start(lanes={"default": 2, "training": 2}))


def test_state_of_sessions(suite, start):
    foreign.same_as_direct(suite, "session", start(lanes={"default": 12, "training": 2}, sections={"lane:default": {"max_pinned": 12}}))
