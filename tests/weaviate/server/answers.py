# SPDX-License-Identifier: ISC
"""How the server says no, in its four shapes.

Handlers say {"error": [{"message"}]}; the layer in front of them (authentication, paths, bodies) {"code", "message"}; GraphQL says HTTP 200 with errors[];
usage limits {"errorCode", "limit", "value", "message"}. A client has to know all four.
"""


class Refusal(Exception):
    """An answer that ends a request: its HTTP status and what goes out as JSON."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body


def messages(*texts):
    """What handlers say, also about one object of a batch."""
    return {"error": [{"message": text} for text in texts]}


def refused(status, text):
    """A handler's refusal."""
    return Refusal(status, messages(text))


def misused(status, text, code=None):
    """A refusal of the layer before the handlers; code differs from the status where a body is valid JSON of the wrong form."""
    return Refusal(status, {"code": code or status, "message": text})


class ObjectError(Exception):
    """What is wrong with one object: 422 when it came alone, one element's failure when it came in a batch."""


class QueryError(Exception):
    """What is wrong with a search: errors[] in GraphQL, a status in REST: 400 for a value, 422 for a use that the collection does not allow."""

    def __init__(self, text, status=400):
        super().__init__(text)
        self.status = status
