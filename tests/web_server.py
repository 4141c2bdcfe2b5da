"""The web server that servers for tests share."""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class WebServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own.

    A client that leaves in the middle of an answer is no error: some tests stop clients. A thread may outlive its test, and
    the stack trace would end up in the output of a later one.
    """

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the stack trace of an error, unless the client has left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
