# SPDX-License-Identifier: ISC
"""Builds pglane three ways and runs every suite over the builds; tests/run is its door.

The last line is `N passed, N failed, N skipped`, summed over all suites, and the exit status is 1 when anything failed. A suite that
fails does not stop the others. Each suite's whole output is kept in build-tests/NAME.log.
"""

import argparse
import concurrent.futures
import dataclasses
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOGS = ROOT / "build-tests"
N_FAILURES_TOLD = 10
# The smoke run ends by the number of inputs, so that each machine tries the same ones; a hunt by the clock.
SMOKE_S = int(os.environ.get("PGLANE_SMOKE_S", "0"))
SMOKE_INPUTS, SMOKE_INPUTS_OF_SLOW = 200000, {"fuzz_ini": 5000}
SMOKE_SEED = int(os.environ.get("PGLANE_SEED", "1"))

# Directory: compiler and meson options. TSan's own suites run with the same program as the integration suite.
BUILDS = {
    "build": ("gcc", []),
    "build-asan": ("clang", ["--buildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true"]),
    "build-tsan": ("clang", ["--buildtype=debugoptimized", "-Db_sanitize=thread", "-Db_lundef=false"]),
}

# How much of the volume a sanitizer build is given; what is being proven is the same.
SCALES = {"build": "1", "build-asan": "0.5", "build-tsan": "0.25"}


@dataclasses.dataclass
class Outcome:
    """What a suite came to: names of what passed, (name, text) of what failed, (name, reason) of what was skipped."""

    suite: str
    passed: list = dataclasses.field(default_factory=list)
    failed: list = dataclasses.field(default_factory=list)
    skipped: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0


class Runner:
    """One suite's commands, their output going to its log. Child processes die with the suite's time."""

    def __init__(self, suite):
        self.path = LOGS / f"{suite}.log"
        self.path.write_text("")

    def run(self, command, timeout_s, env=None):
        """Exit status, or None when the time was up."""
        with open(self.path, "ab") as log:
            log.write(f"$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env={**os.environ, **(env or {})}, start_new_session=True)
            try:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                log.write(f"\nkilled after {timeout_s} s\n".encode())
                return None

    def tail(self, n_lines=40):
        return "\n".join(self.path.read_text(errors="replace").splitlines()[-n_lines:])


def build(directory):
    """Sets a build directory up (anew when it does not work any more) and compiles it."""
    outcome, runner = Outcome(f"compile {directory}"), Runner(directory)
    compiler, options = BUILDS[directory]
    setup = ["meson", "setup", ROOT / directory, ROOT, *options]
    environment = {"CC": compiler}
    ready = (ROOT / directory / "build.ninja").is_file() or runner.run(setup, 300, environment) == 0
    if not ready or runner.run(["ninja", "-C", ROOT / directory], 1500, environment) != 0:
        ready = runner.run([*setup, "--wipe"], 300, environment) == 0 and runner.run(["ninja", "-C", ROOT / directory], 1500, environment) == 0
    (outcome.passed if ready else outcome.failed).append(directory if ready else (directory, runner.tail()))
    return outcome


# What is asked of the programs that this run has compiled.
LINT_ARGUMENTS = {"check_config_keys.py": [ROOT / "build/tests/unit/config/schema_dump"], "check_compose.py": [ROOT / "build/pglane"]}


def lint(suite, options):
    outcome, runner = Outcome(suite), Runner(suite)
    for path in sorted((ROOT / "tests/lint").glob("check_*.py")):
        start = runner.path.stat().st_size
        status = runner.run(["/usr/bin/python3", path, *LINT_ARGUMENTS.get(path.name, [])], 300)
        said = runner.path.read_bytes()[start:].decode(errors="replace").partition("\n")[2]
        if status == 77:
            outcome.skipped.append((path.name, said.strip()))
        elif status == 0:
            outcome.passed.append(path.name)
        else:
            outcome.failed.append((path.name, said))
    return outcome


def meson_suites(directory, *names, timeout_s=900):
    """A suite that runs meson's tests of these names over a build."""
    def run(suite, options):
        outcome, runner = Outcome(suite), Runner(suite)
        log = ROOT / directory / "meson-logs" / f"{suite}.json"
        log.unlink(missing_ok=True)
        wanted = [word for name in names for word in ("--suite", name)]
        environment = {"UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
                       "TSAN_OPTIONS": f"halt_on_error=1:suppressions={ROOT}/tests/tsan.supp"}
        status = runner.run([*aslr_prefix(directory), "meson", "test", "-C", ROOT / directory, "--no-rebuild", "--print-errorlogs", "--timeout-multiplier", "4",
                             "--logbase", suite, *wanted], timeout_s, environment)
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
        for row in rows:
            if row["result"] in ("OK", "EXPECTEDFAIL"):
                outcome.passed.append(row["name"])
            elif row["result"] == "SKIP":
                outcome.skipped.append((row["name"], (row.get("stdout") or "no reason given").strip().splitlines()[-1]))
            else:
                outcome.failed.append((row["name"], f"{row['result']}\n" + (row.get("stdout") or "")[-4000:] + (row.get("stderr") or "")[-4000:]))
        if not outcome.failed and (not rows or status != 0):
            outcome.failed.append((f"meson test {' '.join(names)}", runner.tail()))
        return outcome
    return run


def smoke(suite, options):
    """Each fuzz target for a few seconds from its corpus: the same inputs in every run of the same program."""
    outcome, runner = Outcome(suite), Runner(suite)
    for path in sorted(glob.glob(str(ROOT / "build-asan/tests/fuzz/*/fuzz_*"))):
        target = pathlib.Path(path)
        if target.is_dir() or not os.access(target, os.X_OK):
            continue
        folder = ROOT / "tests/fuzz" / target.parent.name
        with tempfile.TemporaryDirectory() as found:
            corpora = [p for p in (folder / f"corpus_{target.name[5:]}", folder / "corpus") if p.is_dir()][:1]
            dictionaries = [f"-dict={p}" for p in folder.glob(f"{target.name[5:]}.dict")]
            bound = f"-max_total_time={SMOKE_S}" if SMOKE_S else f"-runs={SMOKE_INPUTS_OF_SLOW.get(target.name, SMOKE_INPUTS)}"
            status = runner.run([target, found, *corpora, *dictionaries, f"-seed={SMOKE_SEED}", bound, "-timeout=10", "-rss_limit_mb=2048",
                                 f"-artifact_prefix={LOGS}/{target.name}-", "-print_final_stats=0", "-verbosity=0"], SMOKE_S + 120)
        if status == 0:
            outcome.passed.append(target.name)
        else:
            outcome.failed.append((target.name, runner.tail()))
    if not outcome.passed and not outcome.failed:
        outcome.failed.append(("fuzz targets", "build-asan has none"))
    return outcome


def integration(directory, timeout_s, *parts):
    """The tests under these folders against the program of a build; without a build, those that need none."""
    def run(suite, options):
        outcome, runner = Outcome(suite), Runner(suite)
        report = LOGS / f"{suite}.xml"
        report.unlink(missing_ok=True)
        environment = {"PYTHONDONTWRITEBYTECODE": "1"}
        if directory:
            environment |= {"PGLANE_BIN": str(ROOT / directory / "pglane"), "PGLANE_TEST_SCALE": SCALES[directory],
                            "PGLANE_SANITIZED": "0" if directory == "build" else "1", "PGLANE_WRAP": " ".join(aslr_prefix(directory))}
        selected = ["-k", options.k] if options.k else []
        status = runner.run(["/usr/bin/python3", "-m", "pytest", "-c", ROOT / "tests/pytest.ini", "--rootdir", ROOT / "tests", "-v", "--durations=15",
                             f"--junitxml={report}", *selected, *(str(ROOT / "tests" / part) for part in parts)],
                            timeout_s, environment)
        read_junit(report, outcome)
        if status not in (0, 1) or (status == 1 and not outcome.failed):
            why = "no test was selected" if status == 5 else f"pytest ended with status {status}"
            outcome.failed.append((suite, f"{why}\n{runner.tail()}"))
        return outcome
    return run


def read_junit(report, outcome):
    if not report.is_file():
        return
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            outcome.failed.append((name, (bad[0].text or bad[0].get("message") or "")[-6000:]))
        elif skipped is not None:
            outcome.skipped.append((name, skipped.get("message") or "no reason given"))
        else:
            outcome.passed.append(name)


_aslr = {}
_aslr_lock = threading.Lock()


def aslr_prefix(directory):
    """What to put before a program of a build: where the kernel spreads addresses too far for TSan, it must not spread them."""
    if directory != "build-tsan":
        return []
    with _aslr_lock:
        if not _aslr:
            with tempfile.TemporaryDirectory() as folder:
                probe = f"{folder}/probe"
                subprocess.run(["clang", "-fsanitize=thread", "-xc", "-", "-o", probe], input=b"int main(void) { return 0; }", check=True)
                works = all(subprocess.run([probe], capture_output=True).returncode == 0 for _ in range(20))
                fixed = not works and shutil.which("setarch") and subprocess.run(["setarch", "-R", probe], capture_output=True).returncode == 0
            _aslr["prefix"] = ["setarch", "-R"] if fixed else []
        return _aslr["prefix"]


PROGRAM = ("integ", "regress", "drivers", "weaviate/test_faults.py", "weaviate/test_random_faults.py")

# name: (the build it needs or None, what runs it)
SUITES = {
    "lint": ("build", lint),
    "unit": ("build", meson_suites("build", "unit")),
    "property": ("build", meson_suites("build", "property")),
    "fuzz": ("build", meson_suites("build", "fuzz")),
    "unit-asan": ("build-asan", meson_suites("build-asan", "unit", "property", "fuzz")),
    "unit-tsan": ("build-tsan", meson_suites("build-tsan", "unit")),
    "smoke": ("build-asan", smoke),
    "sql": (None, integration(None, 900, "sql")),
    "standin": (None, integration(None, 300, "weaviate/test_contract.py")),
    "integ": ("build", integration("build", 2000, *PROGRAM)),
    "integ-asan": ("build-asan", integration("build-asan", 2600, *PROGRAM)),
    "integ-tsan": ("build-tsan", integration("build-tsan", 2600, *PROGRAM)),
}
TOGETHER = [("unit-asan", "unit-tsan"), ("integ-asan", "integ-tsan")]


def timed(name, work):
    start = time.monotonic()
    try:
        outcome = work()
    except Exception as error:  # a broken suite is a failed one; the others still run
        outcome = Outcome(name, failed=[(name, f"{type(error).__name__}: {error}")])
    outcome.seconds = time.monotonic() - start
    return outcome


def say(outcome):
    """One line for the suite, then what did not pass."""
    word = "FAILED" if outcome.failed else "ok"
    print(f"{word:6} {outcome.suite}: {len(outcome.passed)} passed, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped"
          f" ({outcome.seconds:.0f} s)", flush=True)
    for name, reason in outcome.skipped:
        print(f"       skipped {name}: {reason}", flush=True)
    for i, (name, text) in enumerate(outcome.failed):
        print(f"       failed {name}", flush=True)
        if i < N_FAILURES_TOLD:
            print("\n".join(f"       | {line}" for line in text.strip().splitlines()[-60:]), flush=True)
    if len(outcome.failed) > N_FAILURES_TOLD:
        print(f"       the output of all of them is in {LOGS}/{outcome.suite}.log", flush=True)


def groups(names):
    """The chosen suites in order, those that share the machine well together."""
    done = set()
    for name in names:
        if name in done:
            continue
        group = next(([part for part in pair if part in names] for pair in TOGETHER if name in pair), [name])
        done.update(group)
        yield group


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__.split("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of: {', '.join(SUITES)}; none means all")
    parser.add_argument("-k", metavar="EXPRESSION", help="only the tests of sql, standin and integ that match, as pytest's -k")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite {', '.join(unknown)}")
    names = [name for name in SUITES if name in options.suites or not options.suites]
    LOGS.mkdir(exist_ok=True)

    outcomes, broken = [], set()
    for directory in dict.fromkeys(SUITES[name][0] for name in names if SUITES[name][0]):
        outcomes.append(timed(f"compile {directory}", lambda: build(directory)))
        say(outcomes[-1])
        if outcomes[-1].failed:
            broken.add(directory)
    for group in groups(names):
        able = [name for name in group if SUITES[name][0] not in broken]
        for name in set(group) - set(able):
            outcomes.append(Outcome(name, failed=[(name, f"{SUITES[name][0]} did not compile")]))
            say(outcomes[-1])
        with concurrent.futures.ThreadPoolExecutor(max(1, len(able))) as pool:
            for outcome in pool.map(lambda name: timed(name, lambda: SUITES[name][1](name, options)), able):
                outcomes.append(outcome)
                say(outcome)

    n_passed, n_failed, n_skipped = (sum(len(getattr(outcome, kind)) for outcome in outcomes) for kind in ("passed", "failed", "skipped"))
    print(f"{n_passed} passed, {n_failed} failed, {n_skipped} skipped", flush=True)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
