# SPDX-License-Identifier: ISC
"""pgjdbc (JdbcSuite.java) in each of its query modes: server-prepared statements, autosave, fetch sizes, batches, DDL between executions. A newer one in
HikariCP's pool (java/), fetched by Maven in the versions of its pom.xml, beside a direct connection."""

import pathlib
import shutil
import subprocess

import pytest

from harness import foreign
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


@pytest.fixture(scope="module")
def hikari():
    java, javac = foreign.tool("java"), foreign.tool("javac")
    maven = [foreign.tool("mvn"), "-B", "-q", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DoutputDirectory=jars"]
    place = foreign.made("java", sorted(SUITE.with_name("java").iterdir()), maven, [javac, "-cp", "jars/*", "HikariSuite.java"])
    return [java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", f"{place}:{place}/jars/*", "HikariSuite"]


@pytest.mark.timeout(900)
def test_hikari(hikari, start):
    foreign.same_as_direct(hikari, "plain", start(lanes={"default": 2, "training": 2}), n_at_once=2)
