#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Each header compiles alone, included twice: it includes what it uses and has a guard."""

import concurrent.futures
import os
import shutil
import subprocess
import sys

import tree

PACKAGES = ["libcjson", "libcrypto", "libssl", "libevent_core", "libevent_extra", "libpq", "inih", "libcurl"]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", '-DPGLANE_VERSION="0"', "-Wall", "-Wextra", "-Werror",
         "-Wno-missing-field-initializers", "-Wno-unused-parameter", "-Isrc", "-Iproto/include", "-Iproto", "-Itests"]


def library_flags():
    """The include paths of the libraries that are there; a header that needs a missing one fails by itself."""
    flags = []
    for package in PACKAGES:
        found = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
        if found.returncode == 0:
            flags += found.stdout.split()
    return flags


def compile_alone(compiler, flags, source):
    """The compiler's complaints about a source text; empty when it is clean."""
    done = subprocess.run([compiler, "-fsyntax-only", *FLAGS, *flags, "-xc", "-"], cwd=tree.ROOT, input=source,
                          capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def source_for(name):
    """A translation unit that has the header twice and nothing else."""
    return f'#include "{tree.ROOT / name}"\n#include "{tree.ROOT / name}"\nint header_is_alone;\n'


def main():
    compiler = os.environ.get("CC", "gcc").split()[0]
    if not shutil.which(compiler):
        tree.skip(f"no {compiler}")
    flags = library_flags()
    names = tree.files("src/*.h", "proto/*.h")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = pool.map(lambda name: compile_alone(compiler, flags, source_for(name)), names)
    return tree.report([f"{name}:1: does not compile alone:\n{text}" for name, text in zip(names, complaints) if text])


if __name__ == "__main__":
    sys.exit(main())
