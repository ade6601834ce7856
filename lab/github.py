"""A fake GitHub: the REST calls that we use and the runner's OIDC endpoint, on a loopback port.

It compares every request and answer with GitHub's own OpenAPI description, which is passed in; differences are in
`violations`. Answers are filled up from the description's examples, so they are as large as in life.
It misbehaves on order: see `fail`, `limit_rate` and `slow`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openapi_schema_validator import OAS30Validator

Json = Any
Answer = tuple[int, Json]
#: Description of a status, characters; GitHub answers 422 beyond (REST API, create a deployment status).
LONGEST = 140


@dataclass(frozen=True)
class ApiCall:
    """One request that came in."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Json
    status: int


@dataclass
class Deployment:
    """A deployment with its statuses, the newest last."""

    id: int
    asked: dict[str, Json]
    statuses: list[dict[str, Json]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """As GitHub shows it."""
        return str(self.statuses[-1]["state"]) if self.statuses else "pending"


@dataclass
class RequestFailure:
    """How a request whose path contains `part` goes wrong, for so many times."""

    part: str
    status: int
    headers: Mapping[str, str]
    body: Json
    times: float


class FakeGitHub:
    """One repository on a GitHub of its own. `description` is GitHub's OpenAPI document, or a part of it."""

    def __init__(self, description: Mapping[str, Json], repository: str = "acme/web", token: str = "") -> None:
        """Listen; `close` ends it."""
        self.repository, self.token = repository, token
        self.deployments: dict[int, Deployment] = {}
        self.comments: dict[int, dict[str, Json]] = {}
        self.pulls: dict[str, dict[str, Json]] = {}
        self.commits: list[tuple[str, str]] = []
        self.teams: dict[str, dict[str, str]] = {}
        self.dispatches: list[dict[str, Json]] = []
        self.asked: list[ApiCall] = []
        self.violations: list[str] = []
        self.tokens: list[str] = []
        self.writer = "github-actions[bot]"
        self._description = description
        self._troubles: list[RequestFailure] = []
        self._slow = 0.0
        self._ids = iter(range(1, 1_000_000))
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening: connections are refused from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def oidc(self) -> dict[str, str]:
        """What the runner sets for a job that may ask for an OIDC token."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/_oidc?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "r",
        }

    # --- what there is, and bad days -------------------------------------------------------------

    def merged(self, commit: str, number: int, title: str, author: str = "octocat") -> None:
        """A pull request whose merge made the commit."""
        self.pulls[commit] = {"number": number, "title": title, "user": author}

    def joins(self, team: str, login: str, state: str = "active") -> None:
        """The login becomes a member of the team (`acme/web`), or is invited (`pending`)."""
        self.teams.setdefault(team, {})[login.lower()] = state

    def leaves(self, team: str, login: str) -> None:
        """The login is no member any more."""
        del self.teams[team][login.lower()]

    def fail(self, part: str, status: int, times: float = float("inf"), body: Json = None, **headers: str) -> None:
        """Answer requests whose path contains `part` with that status."""
        said = {"message": "An error", "documentation_url": "https://docs.github.com/rest"} if body is None else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._troubles.append(RequestFailure(part, status, named, said, times))

    def limit_rate(self, seconds: float, times: float = 1) -> None:
        """The primary limit is used up until then."""
        reset = str(int(time.time() + seconds) + 1)
        body = {"message": "API rate limit exceeded for user ID 1.", "documentation_url": "https://docs.github.com"}
        self.fail("/repos/", 403, times, body, x_ratelimit_remaining="0", x_ratelimit_reset=reset)

    def remark(self, pull: int, body: str, login: str) -> None:
        """Somebody else comments."""
        id_ = next(self._ids)
        self.comments[id_] = {"id": id_, "issue": pull, "edits": 0, "user": login, "body": body}

    def slow(self, seconds: float) -> None:
        """Answer only after so long."""
        self._slow = seconds

    def well(self) -> None:
        """No more troubles."""
        self._troubles.clear()
        self._slow = 0.0

    # --- the calls -------------------------------------------------------------------------------

    def _routes(self) -> Iterator[tuple[str, str, Callable[..., Answer]]]:
        """Method, path as in the description, and what answers it."""
        repo = "/repos/{owner}/{repo}"
        yield "get", "/rate_limit", self._rate_limit
        yield "get", repo, self._repository
        yield "get", f"{repo}/deployments", self._list_deployments
        yield "post", f"{repo}/deployments", self._create_deployment
        yield "get", f"{repo}/deployments/{{deployment_id}}/statuses", self._list_statuses
        yield "post", f"{repo}/deployments/{{deployment_id}}/statuses", self._create_status
        yield "get", f"{repo}/commits/{{commit_sha}}/pulls", self._list_pulls
        yield "get", f"{repo}/compare/{{basehead}}", self._compare
        yield "get", f"{repo}/issues/{{issue_number}}/comments", self._list_comments
        yield "post", f"{repo}/issues/{{issue_number}}/comments", self._create_comment
        yield "patch", f"{repo}/issues/comments/{{comment_id}}", self._edit_comment
        yield "post", f"{repo}/actions/workflows/{{workflow_id}}/dispatches", self._dispatch
        yield "get", "/orgs/{org}/teams/{team_slug}/memberships/{username}", self._membership

    def _rate_limit(self, query: Mapping[str, str], body: Json) -> Answer:
        return 200, {}

    def _repository(self, query: Mapping[str, str], body: Json) -> Answer:
        owner, _, name = self.repository.partition("/")
        return 200, {"name": name, "full_name": self.repository, "owner": {"login": owner}}

    def _list_deployments(self, query: Mapping[str, str], body: Json) -> Answer:
        found = [
            one
            for one in reversed(self.deployments.values())
            if all(one.asked.get(key) == query[key] for key in ("ref", "task", "environment") if query.get(key))
        ]
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        return 200, [self._deployment(one) for one in found[(page - 1) * size : page * size]]

    def _deployment(self, one: Deployment) -> Json:
        shown = {key: value for key, value in one.asked.items() if key not in ("auto_merge", "required_contexts")}
        where = f"{self.url}/repos/{self.repository}/deployments/{one.id}"
        return {**shown, "id": one.id, "sha": one.asked["ref"], "url": where, "statuses_url": f"{where}/statuses"}

    def _create_deployment(self, query: Mapping[str, str], body: Json) -> Answer:
        if body.get("required_contexts") != []:
            return 409, {"message": "Conflict: Commit status checks failed for main."}
        made = Deployment(next(self._ids), {"task": "deploy", "environment": "production", "payload": {}, **body})
        self.deployments[made.id] = made
        return 201, self._deployment(made)

    def _list_statuses(self, query: Mapping[str, str], body: Json, deployment_id: str) -> Answer:
        one = self.deployments.get(int(deployment_id))
        return (200, list(reversed(one.statuses))) if one else _NOT_FOUND

    def _create_status(self, query: Mapping[str, str], body: Json, deployment_id: str) -> Answer:
        one = self.deployments.get(int(deployment_id))
        if one is None:
            return _NOT_FOUND
        if len(body.get("description", "")) > LONGEST:
            return 422, {"message": "Validation Failed", "errors": ["description is too long"], **_DOCUMENTED}
        one.statuses.append({"id": next(self._ids), **body})
        if body["state"] == "success" and body.get("auto_inactive", True):
            self._inactivate_others(one)
        return 201, one.statuses[-1]

    def _inactivate_others(self, live: Deployment) -> None:
        """Only earlier successes, and only where the environment is no production (REST API, auto_inactive)."""
        for one in self.deployments.values():
            same = one.asked["environment"] == live.asked["environment"] and one is not live
            if same and one.state == "success" and not one.asked.get("production_environment"):
                one.statuses.append({"id": next(self._ids), "state": "inactive"})

    def _list_pulls(self, query: Mapping[str, str], body: Json, commit_sha: str) -> Answer:
        pull = self.pulls.get(commit_sha)
        if pull is None:
            return 200, []
        merged = {"state": "closed", "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": commit_sha}
        return 200, [{**pull, "user": {"login": pull["user"]}, **merged}]

    def _compare(self, query: Mapping[str, str], body: Json, basehead: str) -> Answer:
        base, _, head = basehead.partition("...")
        shas = [sha for sha, _ in self.commits]
        if base not in shas or head not in shas:
            return _NOT_FOUND
        between = self.commits[shas.index(base) + 1 : shas.index(head) + 1]
        listed = [{"sha": sha, "commit": {"message": message}} for sha, message in between]
        return 200, {"status": "ahead", "total_commits": len(listed), "ahead_by": len(listed), "commits": listed}

    def _list_comments(self, query: Mapping[str, str], body: Json, issue_number: str) -> Answer:
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        found = [one for one in self.comments.values() if one["issue"] == int(issue_number)]
        return 200, [self._comment(one) for one in found[(page - 1) * size : page * size]]

    def _comment(self, one: Mapping[str, Json]) -> Json:
        where = f"{self.url}/repos/{self.repository}/issues/comments/{one['id']}"
        return {"id": one["id"], "body": one["body"], "url": where, "user": {"login": one["user"]}}

    def _create_comment(self, query: Mapping[str, str], body: Json, issue_number: str) -> Answer:
        made = {"id": next(self._ids), "issue": int(issue_number), "edits": 0, "user": self.writer, **body}
        self.comments[made["id"]] = made
        return 201, self._comment(made)

    def _edit_comment(self, query: Mapping[str, str], body: Json, comment_id: str) -> Answer:
        one = self.comments.get(int(comment_id))
        if one is None:
            return _NOT_FOUND
        one.update(body, edits=one["edits"] + 1)
        return 200, self._comment(one)

    def _dispatch(self, query: Mapping[str, str], body: Json, workflow_id: str) -> Answer:
        self.dispatches.append({"workflow": workflow_id, **body})
        if not body.get("return_run_details"):
            return 204, None
        run = len(self.dispatches)
        page = f"https://github.com/{self.repository}/actions/runs/{run}"
        where = f"{self.url}/repos/{self.repository}/actions/runs/{run}"
        return 200, {"workflow_run_id": run, "run_url": where, "html_url": page}

    def _membership(self, query: Mapping[str, str], body: Json, org: str, team_slug: str, username: str) -> Answer:
        """Neither a team that is not there nor somebody who is not in it is found; logins have no case."""
        state = self.teams.get(f"{org}/{team_slug}", {}).get(username.lower())
        where = f"{self.url}/orgs/{org}/teams/{team_slug}/memberships/{username}"
        return (200, {"url": where, "role": "member", "state": state}) if state else _NOT_FOUND

    # --- the wire --------------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], sent: bytes
    ) -> tuple[int, Json, dict[str, str]]:
        """What a request gets: status, body, headers."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/_oidc":
            return self._oidc(query, headers)
        body = json.loads(sent) if sent else None
        with self._lock:
            status, said, extra = self._answer(method, parts.path, query, body, headers)
            self.asked.append(ApiCall(method, parts.path, query, body, status))
        return status, said, extra

    def _oidc(self, query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Json, dict[str, str]]:
        if headers.get("Authorization") != "Bearer r" or query.get("audience") != "sts.amazonaws.com":
            return 401, {"message": "no"}, {}
        self.tokens.append(f"eyJhbGciOiJub25lIn0.token-number-{len(self.tokens) + 1}.signature")
        return 200, {"value": self.tokens[-1]}, {}

    def _answer(
        self, method: str, path: str, query: Mapping[str, str], body: Json, headers: Mapping[str, str]
    ) -> tuple[int, Json, dict[str, str]]:
        for trouble in self._troubles:
            if trouble.times > 0 and trouble.part in path:
                trouble.times -= 1
                return trouble.status, trouble.body, dict(trouble.headers)
        if self.token and headers.get("Authorization", "").split(" ")[-1] != self.token:
            return 401, {"message": "Bad credentials", **_DOCUMENTED}, {}
        if path == "/graphql":  # the description is REST's alone
            asked = "".join(body["query"].split())
            if asked == "query{viewer{login}}":
                return 200, {"data": {"viewer": {"login": self.writer}}}, {}
            self.violations.append(f"{asked} is no query that is known here")
        for known, route, call in self._routes():
            named = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route), path)
            if named and known == method.lower():
                given = named.groupdict()
                if "repo" in given and f"{given.pop('owner')}/{given.pop('repo')}" != self.repository:
                    return *_NOT_FOUND, {}
                return *self._judged(known, route, query, body, call(query, body, **given)), {}
        self.violations.append(f"{method} {path} is no call that is known here")
        return *_NOT_FOUND, {}

    def _judged(self, method: str, route: str, query: Mapping[str, str], body: Json, answer: Answer) -> Answer:
        """The answer, filled up; request and answer as the description has them, or a violation."""
        operation = self._description["paths"][route][method]
        where = f"{method} {route}"
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self._hold(f"{where}, request", self._resolved(schema), body)
        known = {self._resolved(p)["name"] for p in operation.get("parameters", [])}
        self.violations += [f"{where}: no parameter {name}" for name in query if name not in known]
        status, said = answer
        described = operation["responses"].get(str(status))
        if described is None:
            self.violations.append(f"{where}: no answer {status} is described")
            return answer
        content = self._resolved(described).get("content", {})
        if "application/json" not in content:
            return status, said
        schema = self._resolved(content["application/json"]["schema"])
        full = _filled(schema, said)
        self._hold(f"{where}, answer {status}", schema, full)
        return status, full

    def _hold(self, where: str, schema: Json, value: Json) -> None:
        for error in OAS30Validator(schema).iter_errors(value):
            self.violations.append(f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}")

    def _resolved(self, schema: Json, depth: int = 0) -> Json:
        """The schema with its references followed; GitHub's own are not deeper than this."""
        if isinstance(schema, list):
            return [self._resolved(one, depth) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            if depth > 12:
                return {}
            target: Json = self._description
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return self._resolved(target, depth + 1)
        return {key: self._resolved(value, depth) for key, value in schema.items() if key != "examples"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        github = self

        class ApiHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, said, headers = github.answer(self.command, self.path, dict(self.headers), sent)
                if github._slow:
                    time.sleep(github._slow)
                data = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - names that http.server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Nobody reads it."""

        return ApiHandler


_DOCUMENTED = {"documentation_url": "https://docs.github.com/rest"}
_NOT_FOUND: Answer = (404, {"message": "Not Found", **_DOCUMENTED})


def _filled(schema: Json, value: Json) -> Json:
    """The value, with what the schema requires beside it."""
    if value is None and schema.get("nullable"):
        return None
    schema = _chosen(schema)
    if schema.get("type") == "array" and isinstance(value, list):
        return [_filled(schema["items"], one) for one in value]
    if isinstance(value, dict):
        own = schema.get("properties", {})
        given = {key: _filled(own.get(key, {}), one) for key, one in value.items()}
        return {**{key: _sample(own.get(key, {})) for key in schema.get("required", ()) if key not in value}, **given}
    return value


def _sample(schema: Json) -> Json:
    """The smallest value that fits."""
    if schema.get("nullable") and "type" in schema:  # without a type, the word means nothing in OpenAPI 3.0
        return None
    schema = _chosen(schema)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {key: _sample(schema["properties"].get(key, {})) for key in schema.get("required", ())}
        case "array":
            return []
        case "integer" | "number":
            return schema.get("example", schema.get("minimum", 1))
        case "boolean":
            return False
        case "string":
            plain = {"date-time": "2026-01-01T00:00:00Z", "uri": "https://api.github.com/x", "email": "a@example.com"}
            return plain.get(schema.get("format", ""), str(schema.get("example", "x")))
    return {}


def _chosen(schema: Json) -> Json:
    """Of several forms the first; of several parts all."""
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return _chosen(schema[key][0])
    if "allOf" in schema:
        merged: dict[str, Json] = {"type": "object", "properties": {}, "required": []}
        for part in map(_chosen, schema["allOf"]):
            merged["properties"].update(part.get("properties", {}))
            merged["required"] += part.get("required", [])
        return merged
    return schema
