# SPDX-License-Identifier: ISC
"""pgjdbc (JdbcSuite.java) in each of its query modes: server-prepared statements, autosave, fetch sizes, batches, DDL between executions."""

import pathlib
import shutil
import subprocess

import pytest

from harness.cluster import USERS

SUITE = pathlib.Path(__file__).with_name("JdbcSuite.java")
DRIVER = pathlib.Path("/usr/share/java/postgresql.jar")


def test_jdbc(start):
    if not shutil.which("javac"):
        pytest.skip("there is no JDK (java and javac)")
    proxy = start(lanes={"default": 2})
    done = subprocess.run(["java", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", str(DRIVER), str(SUITE), f"jdbc:postgresql://{proxy.host}:{proxy.port}/app", "app",
                           USERS["app"][0]], capture_output=True, text=True, timeout=140)
    assert done.returncode == 0 and "not ok" not in done.stdout, (done.stdout + done.stderr)[-6000:]
