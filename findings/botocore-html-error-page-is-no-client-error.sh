#!/usr/bin/env bash
# A proxy in front of an AWS endpoint answers 500 with an HTML page. botocore 1.44.8 raises ResponseParserError for a
# service that speaks XML: no ClientError, no status code in it, and no further attempt is made although five are allowed.
# The same page from a service that speaks JSON is a ClientError after five attempts.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check botocore==1.44.8 2>/dev/null
"$dir/venv/bin/python" - <<'PY'
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

asked = []


class Proxy(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.append(1)
        page = b"<!DOCTYPE html><html><body><h1>500 Internal Server Error</h1><hr></body></html>"
        self.send_response(500)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = Session()
session.set_credentials("example", "example")
config = Config(retries={"mode": "standard", "total_max_attempts": 5})


def met(service, call):
    asked.clear()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    client = session.create_client(service, region_name="eu-west-1", endpoint_url=url, config=config)
    try:
        getattr(client, call)()
    except Exception as error:
        kind = type(error).__name__
        return f"{kind}, ClientError: {isinstance(error, ClientError)}, {len(asked)} attempt(s)"


print("botocore 1.44.8, an HTML page with status 500:")
found = [met("autoscaling", "describe_auto_scaling_groups"), met("dynamodb", "list_tables")]
print("  autoscaling (XML):", found[0])
print("  dynamodb (JSON):  ", found[1])
WANTED = ["ResponseParserError, ClientError: False, 1 attempt(s)", "ClientError, ClientError: True, 5 attempt(s)"]
sys.exit("This has changed." if found != WANTED else 0)
PY
