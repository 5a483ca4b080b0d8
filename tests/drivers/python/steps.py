# SPDX-License-Identifier: ISC
"""A suite's steps: each is run in turn and prints one line of JSON. An error that is not a step's result ends the suite with status 1."""

import asyncio
import inspect
import json
import os
import sys
import threading
import traceback

SCHEMA = os.environ["SUITE_SCHEMA"]
SCALE = float(os.environ["SUITE_SCALE"])
OPTIONS = f"-c search_path={SCHEMA},public"

_steps = []


def scaled(n, least=1):
    return max(least, int(n * SCALE))


def step(group, name):
    def keep(work):
        _steps.append((group, name, work))
        return work
    return keep


def fault(error):
    """What a client is told: psycopg's and psycopg2's errors."""
    told = error.diag
    return [type(error).__name__, told.severity, told.sqlstate, told.message_primary, told.message_detail, told.message_hint, told.statement_position,
            told.table_name, told.column_name, told.constraint_name]


def told(kind, work, *arguments, **named):
    """The fault of an error that has to come."""
    try:
        work(*arguments, **named)
    except kind as error:
        return fault(error)
    raise AssertionError("no error came")


def until_over(thread, ask):
    """Asks to cancel until it was heard: the first may come before the statement."""
    while thread.is_alive():
        ask()
        thread.join(0.1)


def in_thread(work):
    """(thread that runs work, list for what it returns)"""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results


def run():
    for group, name, work in _steps:
        if group != sys.argv[1]:
            continue
        try:
            result = asyncio.run(work()) if inspect.iscoroutinefunction(work) else work()
        except BaseException:
            print(f"{name}:\n{traceback.format_exc()}", file=sys.stderr)
            sys.exit(1)
        print(json.dumps({"step": name, "result": repr(result)}), flush=True)
