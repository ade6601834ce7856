"""The sample service: a web server that says which version it is, and can become unhealthy on order.

What it does is written in files beside it, so that a commit changes it as a commit changes any program:

    VERSION              the version it answers with
    SICK_AFTER           seconds after its start from which /healthz answers 503 (0: never healthy)
    SICK_AFTER_REQUESTS  visitors served after which /healthz answers 503; the pages go on working
    CRASH_AFTER          seconds after its start at which it dies
    FAILS                the share of pages that it answers with 500; /healthz goes on saying ok
    TAKES                seconds that half of its pages take at most; the others take longer, and few much longer

    /                    the version and the instance
    /healthz             ok, or 503
    /slow?seconds=2      the same as /, after that long
"""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).resolve().parent
STARTED = time.monotonic()
INSTANCE = os.environ.get("INSTANCE_ID", "nobody")
LONGEST_GOODBYE = 30.0


def setting(name: str) -> float | None:
    """The number in the file of that name, if there is one."""
    file = HERE / name
    return float(file.read_text()) if file.exists() else None


# Read once: a program that runs does not change when its files do.
VERSION = (HERE / "VERSION").read_text().strip()
SICK_AFTER = setting("SICK_AFTER")
SICK_AFTER_REQUESTS = setting("SICK_AFTER_REQUESTS")
CRASH_AFTER = setting("CRASH_AFTER")
FAILS = setting("FAILS") or 0.0
TAKES = setting("TAKES") or 0.0
SPREAD, TAIL = 0.4, 0.01
"""Of the time that pages take: the deviation of its logarithm, and the share of pages that take three times as long."""
dice = random.Random(f"{VERSION} {INSTANCE}")


class Visitors:
    """How many requests are being answered, and how many have been."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._change = threading.Condition()
        self._inside = 0
        self.served = 0

    def __enter__(self) -> None:
        with self._change:
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._inside -= 1
            self._change.notify_all()

    def wait_until_gone(self) -> None:
        """Return when the last request has its answer."""
        with self._change:
            self._change.wait_for(lambda: self._inside == 0, LONGEST_GOODBYE)


visitors = Visitors()


def healthy() -> bool:
    """Whether /healthz answers ok."""
    too_long = SICK_AFTER is not None and time.monotonic() - STARTED >= SICK_AFTER
    too_many = SICK_AFTER_REQUESTS is not None and visitors.served >= SICK_AFTER_REQUESTS
    return not too_long and not too_many


class PageHandler(BaseHTTPRequestHandler):
    """Three pages."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer

    def do_GET(self) -> None:
        """Answer one request; a stop waits for it."""
        with visitors:
            self.answer()
            self.wfile.flush()

    def answer(self) -> None:
        """Find the page."""
        url = urlsplit(self.path)
        if url.path == "/healthz":
            return self.say(200, "ok\n") if healthy() else self.say(503, "not well\n")
        if url.path == "/slow":
            time.sleep(float(parse_qs(url.query).get("seconds", ["1"])[0]))
        if TAKES:
            time.sleep(dice.lognormvariate(math.log(TAKES), SPREAD) * (3 if dice.random() < TAIL else 1))
        visitors.served += 1
        if dice.random() < FAILS:
            return self.say(500, f"version {VERSION} from {INSTANCE} has an error\n")
        return self.say(200, f"version {VERSION} from {INSTANCE}\n")

    def say(self, status: int, text: str) -> None:
        """Write one answer."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Version", VERSION)
        self.send_header("X-Instance", INSTANCE)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing on the terminal."""


class SampleServer(ThreadingHTTPServer):
    """Listens on the socket that it was handed, else on PORT."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        """Listen."""
        super().__init__(("127.0.0.1", 0), PageHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = given_socket()
        self.server_activate()


def given_socket() -> socket.socket:
    """The bound socket whose number is in LISTEN_FD, else a new one on PORT."""
    if "LISTEN_FD" in os.environ:
        return socket.socket(fileno=int(os.environ["LISTEN_FD"]))
    made = socket.socket()
    made.bind(("127.0.0.1", int(os.environ.get("PORT", "8000"))))
    return made


def serve() -> None:
    """Serve until SIGTERM; then take nobody new, finish what is begun, and end."""
    server = SampleServer()

    def leave(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for the loop that this handler interrupts, so it must run beside it.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, leave)
    if CRASH_AFTER is not None:
        threading.Timer(CRASH_AFTER, os._exit, [1]).start()
    server.serve_forever(poll_interval=0.1)
    server.socket.close()
    visitors.wait_until_gone()
    os._exit(0)


def check() -> int:
    """What an operator would run on the instance: ask the running server how it is. 0: well."""
    asking = HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=2)
    try:
        asking.request("GET", "/healthz")
        answer = asking.getresponse()
        print(answer.read().decode().strip())
    except OSError as error:
        print(f"no answer: {error}")
        return 1
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(check())
    serve()
