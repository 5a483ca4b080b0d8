# SPDX-License-Identifier: ISC
"""DBD::Pg (dbd_pg.pl): Perl's driver, which prepares on the server by itself and drops its statements with DEALLOCATE."""

import pathlib
import subprocess

SCRIPT = pathlib.Path(__file__).with_name("dbd_pg.pl")


def test_dbd_pg(start):
    proxy = start(lanes={"default": 2}, sections={"lane:default": {"max_pinned": 2}})
    done = subprocess.run(["/usr/bin/perl", SCRIPT, proxy.host, str(proxy.port)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout, done.stdout
