"""The base image is named by its digest, and `make lock` takes the newest from a registry, or leaves what was."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import base_image
from tests.base_image import INDEXES, PLATFORMS, Image, UnknownDigestError
from tests.worlds.files import ROOT

OLD = "sha256:" + "0" * 64
DOCKERFILE = f"# base\nARG BASE_IMAGE=python:3.13-slim-bookworm@{OLD}\n\nFROM ${{BASE_IMAGE}} AS source\n"


def index(*platforms: str, media: str = INDEXES[0]) -> bytes:
    """An index of images for these platforms, as a registry keeps it."""
    manifests = [{"platform": dict(zip(("os", "architecture"), one.split("/"), strict=True))} for one in platforms]
    return json.dumps({"schemaVersion": 2, "mediaType": media, "manifests": manifests}, indent=1).encode()


class Registry:
    """Speaks the part of the distribution API that is asked: a challenge, a token, a manifest."""

    def __init__(self) -> None:
        self.body, self.digest, self.status = index("unknown/unknown", *PLATFORMS), "", 200
        self.challenge = (
            'Bearer realm="{url}/token",service="registry.docker.io",scope="repository:library/python:pull"'
        )
        self.token: dict[str, Any] = {"token": "t0k3n"}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path: str, authorization: str, accept: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        self.asked.append(path)
        if path.startswith("/token?"):
            return 200, {}, json.dumps(self.token).encode()
        if self.challenge and authorization != "Bearer t0k3n":
            return 401, {"WWW-Authenticate": self.challenge.format(url=self.url)}, b"{}"
        assert accept == ", ".join(INDEXES)
        known = path == "/v2/library/python/manifests/3.13-slim-bookworm"
        return self.status if known else 404, {"Docker-Content-Digest": self.digest} if self.digest else {}, self.body

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sent = self.headers
                status, headers, body = registry.answer(
                    self.path, sent.get("Authorization", ""), sent.get("Accept", "")
                )
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def registry() -> Iterator[Registry]:
    """One on this machine."""
    made = Registry()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    """One whose base is an old one."""
    path = tmp_path / "Dockerfile"
    path.write_text(DOCKERFILE)
    return path


def test_every_stage_is_built_on_what_a_digest_names() -> None:
    """Whoever builds without an argument, as GitHub and publish.yml do, builds on the same bytes."""
    text = (ROOT / "Dockerfile").read_text()
    assert Image.read(text).digest
    assert set(re.findall(r"(?m)^FROM (\S+)", text)) == {"${BASE_IMAGE}"}
    assert "BASE_IMAGE" not in (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    built = yaml.safe_load((ROOT / "examples" / "bot.compose.yml").read_text())["services"]["bot"]["build"]
    assert built == {"context": "..", "target": "bot"}


def test_what_is_published_is_what_must_be_there() -> None:
    """The platforms that the index is looked through for."""
    assert f"platforms: {','.join(PLATFORMS)}" in (ROOT / ".github" / "workflows" / "publish.yml").read_text()


def test_make_lock_renews_it() -> None:
    """Last of all, so that packages are renewed also where the registry cannot be reached."""
    rule = (ROOT / "Makefile").read_text().split("\nlock: ")[1].split("\n\n")[0]
    assert rule.splitlines()[-1] == "\t$(BIN)/python -m tests.base_image Dockerfile"


def test_the_newest_is_written(registry: Registry, dockerfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a token that the registry asks for; nothing else of the file is touched, and again it is the newest."""
    now = f"sha256:{hashlib.sha256(registry.body).hexdigest()}"
    registry.digest = now
    assert base_image.main([str(dockerfile), registry.url]) == 0
    assert dockerfile.read_text() == DOCKERFILE.replace(OLD, now)
    assert capsys.readouterr().out == (
        f"{dockerfile}: python:3.13-slim-bookworm@{now}, before python:3.13-slim-bookworm@{OLD}.\n"
    )
    assert registry.asked[1] == "/token?service=registry.docker.io&scope=repository%3Alibrary%2Fpython%3Apull"
    assert base_image.main([str(dockerfile), registry.url]) == 0
    assert "is the newest" in capsys.readouterr().out


def test_a_tag_alone_gets_its_digest(registry: Registry, dockerfile: Path) -> None:
    """Whatever the registry wants no token for, and tells no digest of."""
    dockerfile.write_text("ARG BASE_IMAGE=python:3.13-slim-bookworm\n")
    registry.challenge = ""
    base_image.renew(dockerfile, registry.url)
    assert Image.read(dockerfile.read_text()).digest == f"sha256:{hashlib.sha256(registry.body).hexdigest()}"
    assert Image("owner/python", "3").repository == "owner/python"


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "gone": ({"status": 404}, "answered 404"),
    "limited": ({"status": 429}, "answered 429"),
    "another digest": ({"digest": OLD}, f"says {OLD}, but what it sent has sha256:"),
    "cut off": ({"body": index(*PLATFORMS)[:40]}, "gave no answer that can be read"),
    "a page": ({"body": b"<html>log in</html>"}, "gave no answer that can be read"),
    "one platform": ({"body": index(PLATFORMS[0])}, f"has nothing for {PLATFORMS[1]}"),
    "no index": ({"body": index(media="application/vnd.oci.image.manifest.v1+json")}, "is no index"),
    "no object": ({"body": b"[]"}, "is no index"),
    "basic": ({"challenge": 'Basic realm="x"'}, "wants something else than a token: Basic"),
    "a file": ({"challenge": 'Bearer realm="file:///etc/passwd"'}, "wants something else than a token"),
    "no token": ({"token": {}}, "gave no token"),
    "a wrong token": ({"token": {"access_token": "other"}}, "answered 401"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_trusted_leaves_what_was(
    registry: Registry, dockerfile: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says why, and what to do."""
    changes, says = BROKEN[how]
    vars(registry).update(changes)
    assert base_image.main([str(dockerfile), registry.url]) == 1
    assert dockerfile.read_text() == DOCKERFILE
    said = capsys.readouterr().err
    assert f"{dockerfile}: the base image stays as it was: " in said
    assert says in said
    assert "Run `python -m tests.base_image` again where 127.0.0.1:" in said


def test_no_registry(dockerfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No network: nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert base_image.main([str(dockerfile), f"http://127.0.0.1:{port}"]) == 1
    assert dockerfile.read_text() == DOCKERFILE
    assert "gave no answer that can be read: <urlopen error" in capsys.readouterr().err


def test_a_dockerfile_without_a_base() -> None:
    """Nothing is guessed."""
    with pytest.raises(UnknownDigestError, match="no line `ARG BASE_IMAGE"):
        Image.read("FROM python:3\n")
