"""What was said in the last requests: headers and answers, in memory, for whoever looks at them.

The request log in the store has no answers, so that the pay path stays quick. Nothing here is
copied or redacted until somebody looks (`control.redact`).
"""

from collections import OrderedDict
from dataclasses import dataclass

from stripesim.http import Answer, Request

MOST_BYTES = 8_000_000
MOST_EXCHANGES = 2000


@dataclass(frozen=True)
class Exchange:
    """Header names of the request are lower case. `size`: how much is kept, about, in bytes."""

    request_headers: dict[str, str]
    answer: Answer
    size: int


class Recent:
    """The newest by request id: at most MOST_EXCHANGES, about MOST_BYTES of headers and answers."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, Exchange] = OrderedDict()
        self._bytes = 0

    def note(self, request_id: str, request: Request, answer: Answer) -> None:
        size = len(answer.body) + sum(map(len, request.headers.values()))
        self._found[request_id] = Exchange(request.headers, answer, size)
        self._bytes += size
        while self._bytes > MOST_BYTES or len(self._found) > MOST_EXCHANGES:
            _, oldest = self._found.popitem(last=False)
            self._bytes -= oldest.size

    def get(self, request_id: str) -> Exchange | None:
        return self._found.get(request_id)

    def clear(self) -> None:
        self._found.clear()
        self._bytes = 0
