# SPDX-License-Identifier: ISC
"""Many clients at once, and how much of everything a run can afford."""

import os
import threading

# Sanitizer builds are many times slower: a run scales down what is only volume, never what is being proven.
SCALE = float(os.environ.get("PGLANE_TEST_SCALE", "1"))


# A sanitizer's allocator keeps freed memory and red zones: what is measured there is mostly its own.
SANITIZED = os.environ.get("PGLANE_SANITIZED", "") == "1"


def memory_limit(n_bytes):
    """How much resident memory may grow when n_bytes are allowed."""
    return n_bytes * 8 + (64 << 20) if SANITIZED else n_bytes


def scaled(n, least=1):
    return max(least, int(n * SCALE))


def in_parallel(n_threads, work, timeout_s=180):
    """work(i) in n threads that start together; their results in order. The first exception is raised after all have ended."""
    results, errors = [None] * n_threads, []
    barrier = threading.Barrier(n_threads)

    def body(i):
        try:
            barrier.wait(timeout_s)
            results[i] = work(i)
        except BaseException as error:  # everything goes back to the test
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,), daemon=True) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)
        assert not thread.is_alive(), f"a client is stuck after {timeout_s} s"
    if errors:
        raise errors[0]
    return results


class Background:
    """work(stop) in a thread until the with block ends; work looks at stop.is_set(). Its exception is raised at the end."""

    def __init__(self, *works, timeout_s=120):
        self.stop, self.errors, self.timeout_s = threading.Event(), [], timeout_s
        self.threads = [threading.Thread(target=self._body, args=(work,), daemon=True) for work in works]

    def _body(self, work):
        try:
            work(self.stop)
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        for thread in self.threads:
            thread.join(self.timeout_s)
            assert not thread.is_alive(), f"a background client is stuck after {self.timeout_s} s"
        if self.errors and kind is None:
            raise self.errors[0]
