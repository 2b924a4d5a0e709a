"""The log: one line an event on stderr, as text or as JSON."""

import json
import logging
import sys
import time


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00Z INFO what happened`, whatever the message or its traceback holds."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return f"{_moment(record)} {record.levelname} {_one_line(_message(record))}"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        return json.dumps(entry)


def configure_logs(shape: str) -> None:
    """Sends all logging to stderr in the given shape, `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if shape == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("alembic", "uvicorn.access", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It tells with a traceback that a connection is lost; whoever used it has said so in a sentence.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    # Its warnings are about what strangers send: docker, crane and skopeo try TLS first wherever they go.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += " | " + logging.Formatter().formatException(record.exc_info)
    return message


def _moment(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))


def _one_line(message: str) -> str:
    return message.replace("\r", "\\r").replace("\n", " \\n ")
