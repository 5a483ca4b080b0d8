# SPDX-License-Identifier: ISC
"""Faults that tests ask for: rules that are laid over the next calls, on top of what the API would have done.

A rule is {"call": regular expression of "METHOD /path", "do": one of DEEDS, "skip": calls to let pass first, "times": how many to hit (absent: all),
"holds": text that the body must have} and what the deed takes. The first rule that hits a call is the one that is carried out.
"""

import asyncio
import re

from .answers import messages


class Reply:
    """What goes out: status and body (JSON value, bytes as they are, or None). cut_at: the connection ends after so many bytes of the answer."""

    __slots__ = ("status", "body", "cut_at")

    def __init__(self, status, body=None, cut_at=None):
        self.status, self.body, self.cut_at = status, body, cut_at


class Rule:
    def __init__(self, given):
        self.given = given
        self.call, self.deed = re.compile(given.get("call", ".*")), DEEDS[given["do"]]
        self.skip, self.times = given.get("skip", 0), given.get("times")
        self.holds = given.get("holds", "").encode()
        self.n_hits = 0

    def hits(self, request):
        if not self.call.fullmatch(f"{request.method} {request.path}") or self.holds not in request.body:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None and self.n_hits >= self.times:
            return False
        self.n_hits += 1
        return True


class Faults:
    """The rules that are laid, and the calls that are held until release()."""

    def __init__(self, api):
        self.api, self.rules, self.held, self.released = api, [], 0, asyncio.Event()

    def lay(self, rules):
        self.rules = [Rule(given) for given in rules]

    def find(self, request):
        return next((rule for rule in self.rules if rule.hits(request)), None)

    def release(self):
        """Held calls go on, and nothing is held any more."""
        self.rules = [rule for rule in self.rules if rule.deed is not hold]
        self.released.set()
        self.released = asyncio.Event()

    async def carry_out(self, rule, request):
        return await rule.deed(self, rule.given, request)

    def done(self, request):
        return Reply(*self.api.answer(request))


async def answer(faults, given, request):
    """Answers by itself; nothing is done. status, and body or text."""
    return Reply(given.get("status", 500), given["text"].encode() if "text" in given else given.get("body", messages("as a test wanted it")))


async def empty(faults, given, request):
    """What a handler's panic looks like: 200 and nothing. done: whether it had done its work before."""
    if given.get("done"):
        faults.done(request)
    return Reply(200, None)


async def slow(faults, given, request):
    """seconds before it is done, or after (late)."""
    if given.get("late"):
        reply = faults.done(request)
        await asyncio.sleep(given["seconds"])
        return reply
    await asyncio.sleep(given["seconds"])
    return faults.done(request)


async def hold(faults, given, request):
    """Waits until it is released, before it is done or after (late)."""
    reply = faults.done(request) if given.get("late") else None
    faults.held += 1
    try:
        await faults.released.wait()
    finally:
        faults.held -= 1
    return reply or faults.done(request)


async def cut(faults, given, request):
    """Ends the connection: before anything is done, or (late) after it, behind the first bytes of the answer."""
    if not given.get("late"):
        return Reply(500, None, cut_at=0)
    reply = faults.done(request)
    reply.cut_at = given.get("bytes", 0)
    return reply


async def refuse(faults, given, request):
    """Single objects of a batch fail with text: those with ids, or each every-th, or all."""
    ids, every = given.get("ids"), given.get("every", 1)

    def why(one, i):
        chosen = str(one.get("id")).lower() in ids if ids is not None else i % every == 0
        return given.get("text", "as a test wanted it") if chosen else None
    request.refuse = why
    return faults.done(request)


async def lie(faults, given, request):
    """Does it and tells something else. how: one of LIES."""
    reply = faults.done(request)
    reply.body = LIES[given["how"]](reply.body)
    return reply


def without_result(body):
    return [{key: value for key, value in one.items() if key != "result"} for one in body]


LIES = {
    "one_too_few": lambda body: body[:-1],
    "one_too_many": lambda body: body + body[-1:],
    "other_order": lambda body: body[::-1],
    "other_ids": lambda body: [{**one, "id": "00000000-0000-4000-8000-000000000000"} for one in body],
    "no_result": without_result,
    "error_in_success": lambda body: [{**one, "result": {"status": "SUCCESS", "errors": messages("and yet it failed")}} for one in body],
    "unknown_status": lambda body: [{**one, "result": {"status": "PENDING"}} for one in body],
    "object": lambda body: {"objects": body},
    "no_json": lambda body: b"<html><body>504 Gateway Time-out</body></html>",
    "half_json": lambda body: b'[{"class":"Some',
}

DEEDS = {"answer": answer, "empty": empty, "slow": slow, "hold": hold, "cut": cut, "refuse": refuse, "lie": lie}
