"""Answers that go on as server-sent events: counted before they begin, and until their reader is gone."""

from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from auth.identity import Identity
from deploy.means import Streams

# No proxy keeps such an answer or holds it back, no browser takes it for a page.
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class Events(StreamingResponse):
    """An answer whose `lines` are given whether it may go on. Raises ApiError where one too many is asked for."""

    def __init__(
        self, streams: Streams, identity: Identity, lines: Callable[[Callable[[], bool]], AsyncIterator[str]]
    ) -> None:
        self._streams, self._one = streams, streams.begin(identity)
        super().__init__(lines(self._goes_on), headers=HEADERS, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it. A reader that is gone is noticed here at once, and in the lines some time later."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.end(self._one)

    def _goes_on(self) -> bool:
        return self._one in self._streams.open
