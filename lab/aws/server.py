"""The fake AWS by HTTP, for any client that knows AWS_ENDPOINT_URL, and the thread that moves its time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from lab.aws.faults import LostAnswer, Swallowed
from lab.aws.wire import Answer, ErrorAnswer, Incoming, incoming
from lab.clock import Clock
from lab.machines import Machines

#: A connection on which nothing is answered is kept for so long, in seconds.
SILENCE = 60.0

Looks = list[tuple[str, str]]


class Served(Protocol):
    """What stands behind the server; `FakeAws` is it."""

    machines: Machines
    clock: Clock

    def answer(self, request: Incoming) -> Answer:
        """One answer."""
        ...

    def tick(self, ask: Callable[[Looks], dict[tuple[str, str], bool]]) -> None:
        """Let everything happen that is due."""
        ...


class FakeAwsServer:
    """A server on 127.0.0.1, and a ticker."""

    def __init__(self, fake: Served, port: int, tick: float) -> None:
        """Listen at once; `tick` is how often time is looked at (seconds)."""
        self._fake, self._tick = fake, tick
        self._ended = threading.Event()
        self._askers = ThreadPoolExecutor(16, "fake-aws-health")
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(fake))
        self._http.daemon_threads = True
        self._threads = [
            threading.Thread(target=work, name=f"fake-aws-{work.__name__}", daemon=True)
            for work in (self._http.serve_forever, self._keep_time)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        """Stop listening, and stop the ticker."""
        self._ended.set()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()
        self._askers.shutdown()

    def _keep_time(self) -> None:
        while not self._ended.wait(self._tick):
            self._fake.tick(self._ask)

    def _ask(self, looks: Looks) -> dict[tuple[str, str], bool]:
        """Ask the machines, all at once."""
        answers = self._askers.map(lambda look: self._fake.machines.answers(*look), looks)
        return dict(zip(looks, answers, strict=True))


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    served: Served
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body in one packet

    def handle(self) -> None:
        """Clients may be killed in the middle of a request: that is what the lab is for."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
        """Answer one request, or cut the connection."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self.served.answer(incoming(self.command, self.path, dict(self.headers), body))
            status, headers, content = answer.status, answer.headers, answer.body
        except ErrorAnswer as error:
            status, headers, content = error.status, {}, error.message.encode()
        except LostAnswer:
            self.close_connection = True
            return
        except Swallowed:
            self._wait_for_its_end()
            return
        self._reply(status, dict(headers), content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST  # noqa: N815 - the base class's naming

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The lab's time, which is not the computer's in every world."""
        return formatdate(self.served.clock.now() if timestamp is None else timestamp, usegmt=True)

    def _wait_for_its_end(self) -> None:
        """Until the client has waited long enough."""
        self.close_connection = True
        self.connection.settimeout(SILENCE)
        with contextlib.suppress(OSError):
            self.connection.recv(1)

    def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "date", "server", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _handler(fake: Served) -> type[Handler]:
    return type("Handler", (Handler,), {"served": fake})
