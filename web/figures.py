"""The figures of what is stored, which people may look at as often as they like."""

import asyncio

from storage.database import Database, now
from storage.figures import Figures, read_figures

FRESH = 60_000  # milliseconds for which they hold


class FiguresAtHand:
    """The figures that were read last; one reading at a time. For one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._last: Figures | None = None

    async def look(self) -> Figures:
        """Figures of the last minute."""
        async with self._turn:
            if self._last is None or self._last.taken_at < now() - FRESH:
                self._last = await self._database.look(self._read)
            return self._last

    def _read(self) -> Figures:
        with self._database.read() as session:
            return read_figures(session)
