"""The GitHub Action: inputs -> one call of the API -> log, annotations, outputs, summary, exit code.

`main` is the step, `post` the clean-up that the runner starts in a fresh container, whatever became of the step.
A cancelled step gets SIGINT, 7.5 s later SIGTERM, and 2.5 s later its docker client is killed, but not the
container (actions/runner, ProcessInvoker): so on the first signal nothing new is begun, what is in flight ends, and
the process is gone within `GONE` seconds whatever hangs.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluegreen import Engine, doors, wording
from bluegreen.action import credentials, inputs, summary
from bluegreen.action.inputs import Inputs
from bluegreen.action.workflow import Workflow
from bluegreen.errors import BlueGreenError, ConfigError, Interrupted
from bluegreen.release import Awaited, Event, Outcome, Phase, Release, Until, fold

if TYPE_CHECKING:
    from bluegreen.config import Config
    from bluegreen.github import GitHub

#: The Action's outputs, in the order in which they are documented.
OUTPUTS = (
    "decision",
    "reason",
    "release",
    "phase",
    "service",
    "blue-group",
    "green-group",
    "image-id",
    "template-version",
    "result",
)
#: Seconds after a signal at which the process ends, whatever it waits for.
GONE = 6.5
#: Seconds for what GitHub was not told yet, at the end and after a signal.
FLUSH, FLUSH_HASTILY = 10.0, 1.5


def main(environment: Mapping[str, str] = os.environ) -> int:
    """The step; returns its exit code."""
    workflow = Workflow(environment)
    try:
        step = Step.of(environment, workflow, inputs.read(environment))
    except BlueGreenError as error:
        return _failed(workflow, error, None)
    with doors.stopping(step.stopped) as stop:
        return step.run(stop)


def post(environment: Mapping[str, str] = os.environ) -> int:
    """The clean-up. It never fails a job: what it cannot do is said."""
    workflow = Workflow(environment)
    if not environment.get("STATE_release"):
        workflow.say("No release was begun: nothing is to be cleaned up.")
        return 0
    try:
        _clean_up(Step.of(environment, workflow, inputs.read(environment)))
    except Exception as error:
        known = error if isinstance(error, BlueGreenError) else doors.unexpected(error)
        workflow.annotate("warning", "bluegreen: clean-up", str(known))
    return 0


@dataclass
class Step:
    """One step of a job: what it was told, and what it has come to know."""

    environment: Mapping[str, str]
    workflow: Workflow
    inputs: Inputs
    region: str
    engine: Engine
    github: GitHub | None
    release: Release | None = None  # as last told
    events: tuple[Event, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str], workflow: Workflow, given: Inputs) -> Step:
        """Look at the configuration's region, take the credentials, and refuse the wrong account."""
        workflow.add_secret(given.github_token)
        region = given.aws_region or _region_of_config(given) or ""
        session = credentials.session(given, region or None, environment, workflow.add_secret)
        holder = f"github:{environment.get('GITHUB_REPOSITORY', '')}:{environment.get('GITHUB_RUN_ID', '')}"
        attempt = environment.get("GITHUB_RUN_ATTEMPT", "1")
        engine = Engine(
            table=given.table or None,
            region=region or None,
            session=session,
            holder=f"{holder}:{attempt}:{os.urandom(3).hex()}",
        )
        step = cls(environment, workflow, given, region, engine, None)
        step.github = _github(step)
        return step

    # --- the story -------------------------------------------------------------------------------

    def run(self, stop: doors.Stop) -> int:
        """Do what was asked, and tell how it went; the exit code."""
        try:
            credentials.check_account(self.engine.who(), self.inputs.accounts)
            code, decision = self._do(stop)
        except BlueGreenError as error:
            return self._ended_by(error)
        except Exception as error:
            return self._ended_by(doors.unexpected(error))
        self._told_all(FLUSH, decision)
        return code

    def _do(self, stop: doors.Stop) -> tuple[int, str]:
        if self.inputs.only_plans:
            return self._plan()
        if self.inputs.command == "reconcile":
            return self._reconcile(stop)
        if self.inputs.command == "release" or self.inputs.to:
            return self._release(stop)
        service = self._service()
        if stop():
            raise Interrupted("stopped before anything was ordered", where=service)
        match self.inputs.command:
            case "promote":
                return self._attend(self.engine.promote(service, who=self.who).release, Until.HELD, stop)
            case "rollback":
                ordered = self.engine.roll_back(service, who=self.who, why="ordered in GitHub")
                return self._attend(ordered.release, Until.HELD, stop, _back)
        return self._attend(self.engine.resume(service, who=self.who).id, Until.HELD, stop)

    def _plan(self) -> tuple[int, str]:
        from bluegreen import planned

        config = self._config()
        made = self.engine.plan(config, commit=self._commit(config), ami=self.inputs.ami)
        lines = list(planned.lines(made))
        for line in lines:
            self.workflow.say(line)
        self.workflow.summary(summary.plan(lines))
        self._output(planned.as_object(made))
        return doors.OK, "planned"

    def _release(self, stop: doors.Stop) -> tuple[int, str]:
        config = self._config()
        until = Until(self.inputs.until) if self.inputs.until else None
        begun = self._cancelled_before(config) or self._begin(config, stop, hold=until is Until.HELD)
        far = until or (Until.HELD if begun.hold else Until.LIVE)
        return self._attend(begun.id, far, stop)

    def _begin(self, config: Config, stop: doors.Stop, *, hold: bool) -> Release:
        ami = self.inputs.ami
        if self.inputs.to:
            ami = self.engine.image_of(config.id, int(self.inputs.to))
        commit = "" if self.inputs.to else self._commit(config)
        run, job = (self.environment.get(f"GITHUB_{name}", "") for name in ("RUN_ID", "JOB"))
        attempt = self.environment.get("GITHUB_RUN_ATTEMPT", "1")
        return self.engine.start(
            config,
            commit=commit,
            ami=ami,
            who=self.who,
            hold=hold,
            request=f"github/{run}/{attempt}/{job}/{commit}/{ami}" if run else "",
            source=self._source(commit),
            stop=stop,
        )

    def _cancelled_before(self, config: Config) -> Release | None:
        """What an earlier attempt of this very run began, and left: running the job again goes on with it."""
        run = self.environment.get("GITHUB_RUN_ID", "")
        for status in self.engine.status(config.id):
            left = status.release
            if run and left and status.record.under_way and left.source.get("run_id") == run:
                return left
        return None

    def _attend(
        self, id_: str, until: Until, stop: doors.Stop, code: Callable[[Release], int] = doors.exit_code
    ) -> tuple[int, str]:
        self._show_from_the_start(id_)
        self.workflow.state({"release": id_, "holder": self.engine.holder})
        release = self.engine.attend(id_, until=until, tell=self.tell, stop=stop)
        result = doors.result(release)
        self._output(result)
        return code(release), str(result["decision"])

    def _show_from_the_start(self, id_: str) -> None:
        """What happened before this step is part of the story that its page tells."""
        for event in self.engine.events(id_):
            self.events = (*self.events, event)
            self._line(fold(self.events), event)
        self.release = fold(self.events)
        if self.github:
            self.github.tell(self.release, self.events[-1], None, None)

    def _reconcile(self, stop: doors.Stop) -> tuple[int, str]:
        undriven = self.engine.undriven()
        if not undriven:
            self.workflow.say("Every release under way has a driver.")
        done = doors.drive_all(lambda: _own_engine(self), undriven, self._tell_one_of_many, stop)
        for one in done:
            self.workflow.say(str(one.error) if one.error else wording.outcome_line(one.release) if one.release else "")
        worst = doors.gravest(done)
        self._output({"decision": _DECISIONS[worst], "releases": [one.result for one in done]})
        return worst, _DECISIONS[worst]

    # --- telling ---------------------------------------------------------------------------------

    def tell(self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None) -> None:
        """The driver's Tell: the log, grouped by phase, and GitHub."""
        if event is not None and event.seq <= (self.events[-1].seq if self.events else 0):
            return
        self.release = release
        if event is not None:
            self.events = (*self.events, event)
            self._line(release, event)
        elif awaited is not None:
            self._waits(release, awaited, deadline)
        if self.github:
            self.github.tell(release, event, awaited, deadline)

    _awaited: tuple[Awaited, float | None] | None = None

    def _waits(self, release: Release, awaited: Awaited, deadline: float | None) -> None:
        if self._awaited == (awaited, deadline):
            return
        self._awaited = (awaited, deadline)
        now = time.time()
        self.workflow.say(f"{_clock(now)} {wording.awaiting(awaited, deadline, now, release)}")

    def _line(self, release: Release, event: Event) -> None:
        self.workflow.group("" if release.outcome else wording.phase_title(release.phase))
        self.workflow.say(f"{_clock(event.at)} {wording.sentence(event, release)}")

    def _tell_one_of_many(
        self, release: Release, event: Event | None, awaited: Awaited | None, deadline: float | None
    ) -> None:
        if event is not None:
            said = wording.sentence(event, release)
            self.workflow.say(f"{_clock(event.at)} {release.id} {wording.phase_title(release.phase)}: {said}")
        if self.github:
            self.github.tell(release, event, awaited, deadline)

    def stopped(self, text: str) -> None:
        """A signal came: say so, and see that the process ends in time whatever hangs."""
        os.write(1, f"{text}\n".encode())
        if not self._ending:
            self._ending = True
            timer = threading.Timer(GONE, self._end_now)
            timer.daemon = True
            timer.start()

    _ending = False

    def _end_now(self) -> None:
        """The last resort: a call that hangs keeps nobody from going on; the journal has all that was begun."""
        self._output(self._result_of(Interrupted("the call in flight did not end in time"), self.release))
        self.workflow.say("A call to AWS did not end in time; whoever drives on looks what became of it.")
        os._exit(doors.INTERRUPTED)

    # --- the end ---------------------------------------------------------------------------------

    def _ended_by(self, error: BlueGreenError) -> int:
        result = self._result_of(error, self.release)
        self._output(result)
        self._told_all(FLUSH_HASTILY if isinstance(error, Interrupted) else FLUSH, str(result["decision"]), error)
        return doors.error_code(error)

    def _result_of(self, error: BlueGreenError, release: Release | None) -> dict[str, Any]:
        return doors.failed_result(error, release)

    def _told_all(self, seconds: float, decision: str, error: BlueGreenError | None = None) -> None:
        """Annotations, the page, and what GitHub was not told yet; then the post step knows how we ended."""
        self.workflow.group("")
        if error is not None:
            _annotate_error(self.workflow, error)
        elif self.release is not None and decision not in ("planned", ""):
            _annotate(self.workflow, self.release)
        if self.github and self.release is not None:
            self.github.parked(self.release)
        problems = self.github.close(seconds) if self.github else ()
        for problem in problems:
            self.workflow.annotate("warning", "bluegreen: GitHub was not told", problem)
        if self.events:
            self.workflow.summary(summary.page(self.events, problems=problems))
        elif error is not None:
            self.workflow.summary(summary.failure(error.where or "bluegreen", error.what, error.hint))
        self.workflow.state({"ended": decision})

    def _output(self, result: Mapping[str, Any]) -> None:
        values = {name: _text(result.get(name)) for name in OUTPUTS if name != "result"}
        self.workflow.output({**values, "result": json.dumps(result, default=str)})

    # --- what is meant ---------------------------------------------------------------------------

    @property
    def who(self) -> str:
        """Who is behind the run, by GitHub's login: of a run that was started again, whoever did that."""
        login = self.environment.get("GITHUB_TRIGGERING_ACTOR") or self.environment.get("GITHUB_ACTOR", "")
        return f"github:{login}" if login else self.engine.who()

    def _config(self) -> Config:
        config = _config_of(self.inputs)
        if self.inputs.service and self.inputs.service not in (config.service, config.id):
            hint = "Correct one of them, or leave `service` out."
            what = f"describes {config.id}, not the service that was named"
            raise ConfigError(what, where=self.inputs.config, hint=hint)
        return config

    def _service(self) -> str:
        """The service that is meant, with its environment; a full name needs no configuration."""
        named = self.inputs.service
        if "/" in named:
            return named
        if named and self.inputs.environment:
            return f"{named}/{self.inputs.environment}"
        return self._config().id

    def _commit(self, config: Config) -> str:
        """The commit that was named, else the one that the run is for; an image that is given speaks for itself."""
        if self.inputs.commit or self.inputs.ami:
            return self.inputs.commit
        event = _event(self.environment)
        pull = event.get("pull_request") or {}
        merged = str(pull.get("merge_commit_sha") or "") if pull.get("merged") else ""
        return merged or self.environment.get("GITHUB_SHA", "")

    def _source(self, commit: str) -> dict[str, str]:
        """Where the release comes from, for whoever shows it; nothing in it is trusted."""
        get = self.environment.get
        server, repository, run = (get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
        event = _event(self.environment)
        head = event.get("head_commit") or {}
        pull = self.github.pull_of(commit) if self.github and commit else None
        same = head.get("id") == commit
        found = {
            "repository": repository,
            "server": server,
            "run_id": run,
            "run_url": f"{server}/{repository}/actions/runs/{run}" if run else "",
            "ref": get("GITHUB_REF_NAME", ""),
            "event": get("GITHUB_EVENT_NAME", ""),
            "actor": get("GITHUB_ACTOR", ""),
            "title": pull.title if pull else str(head.get("message", "")).split("\n")[0] if same else "",
            "author": pull.author if pull else str((head.get("author") or {}).get("username", "")) if same else "",
            "pull": str(pull.number) if pull else "",
        }
        return {name: self.workflow.hide(wording.one_line(value))[:300] for name, value in found.items()}


# --- the clean-up ------------------------------------------------------------------------------------------


def _clean_up(step: Step) -> None:
    """After a step that was cancelled, or killed: free the lease, give the order that was asked for, tell GitHub."""
    get = step.environment.get
    release = step.engine.load(get("STATE_release", ""))
    if get("STATE_ended", "") not in ("", "interrupted") or release.outcome:
        step.workflow.say(wording.outcome_line(release))
        return
    step.engine.abandon(release.id, get("STATE_holder", ""))
    if step.inputs.on_cancel == "rollback" and release.phase.can_roll_back and not release.rollback_by:
        step.engine.roll_back(release.service, who=step.who, why="the run was cancelled")
        release = step.engine.load(release.id)
    if step.github:
        step.github.parked(release)
        for problem in step.github.close(FLUSH):
            step.workflow.annotate("warning", "bluegreen: GitHub was not told", problem)
    step.workflow.annotate("warning", f"bluegreen: {release.id} waits for a driver", _how_to_go_on(release))
    step.workflow.summary(summary.page(step.engine.events(release.id)))


def _how_to_go_on(release: Release) -> str:
    """For the person who cancelled, or who finds the run cancelled."""
    state = f"{release.id} stands in {wording.phase_title(release.phase)}; nothing is lost and blue is whole. "
    if release.phase is Phase.RETIRING:
        state = f"{release.id} stands in retiring; green serves alone. "
    on = f"`bluegreen resume {release.service}`, a run with `command: resume`, the bot, or `reconcile` drives it on"
    if release.rollback_pending:
        return f"{state}The rollback is ordered: {on}."
    back = "; `command: rollback` returns to blue" if release.phase.can_roll_back else ""
    return f"{state}{on[0].upper()}{on[1:]}{back}."


# --- small parts -------------------------------------------------------------------------------------------

_DECISIONS = {
    doors.OK: "live",
    doors.FAILED: "failed",
    doors.ROLLED_BACK: "rolled_back",
    doors.INTERRUPTED: "interrupted",
}


def _own_engine(step: Step) -> Engine:
    """An engine of its own for one of many threads."""
    session = credentials.session(step.inputs, step.region or None, step.environment, step.workflow.add_secret)
    return Engine(table=step.inputs.table or None, region=step.region or None, session=session)


def _failed(workflow: Workflow, error: BlueGreenError, release: Release | None) -> int:
    result = doors.failed_result(error, release)
    workflow.output({**{name: _text(result.get(name)) for name in OUTPUTS[:-1]}, "result": json.dumps(result)})
    _annotate_error(workflow, error)
    workflow.summary(summary.failure(error.where or "bluegreen", error.what, error.hint))
    return doors.error_code(error)


def _annotate_error(workflow: Workflow, error: BlueGreenError) -> None:
    level = "warning" if isinstance(error, Interrupted) else "error"
    workflow.annotate(level, f"bluegreen: {error.where}" if error.where else "bluegreen", str(error))


def _annotate(workflow: Workflow, release: Release) -> None:
    level = {Outcome.LIVE: "notice", None: "notice"}.get(release.outcome, "error")
    step = wording.next_step(release)
    message = wording.outcome_line(release) + (f"\n{step}" if step else "")
    workflow.annotate(level, f"bluegreen: {release.id}", message)


def _back(release: Release) -> int:
    """A rollback that was ordered has succeeded when blue serves alone again."""
    return doors.OK if release.outcome is Outcome.ROLLED_BACK else doors.FAILED


def _github(step: Step) -> GitHub | None:
    """GitHub to tell; None where there is no token or no repository."""
    get = step.environment.get
    repository = get("GITHUB_REPOSITORY", "")
    if not (step.inputs.github_token and repository):
        return None
    from bluegreen.github import GitHub

    server, run = get("GITHUB_SERVER_URL", ""), get("GITHUB_RUN_ID", "")
    hide = step.workflow.hide
    return GitHub(
        step.inputs.github_token,
        repository,
        api=get("GITHUB_API_URL") or "https://api.github.com",
        log_url=f"{server}/{repository}/actions/runs/{run}" if run else "",
        environment_url=step.inputs.environment_url,
        describe=lambda release: hide(wording.outcome_line(release)),
        comment=lambda release, between: hide(summary.comment(release, between.titles if between else ())),
        past=lambda id_: _load(step.engine, id_),
        before=lambda release: release.blue_commit,
        now=time.time,
    )


def _load(engine: Engine, id_: str) -> Release | None:
    try:
        return engine.load(id_)
    except BlueGreenError:
        return None


def _config_of(given: Inputs) -> Config:
    from bluegreen.config import load

    if not Path(given.config).exists():
        hint = "Put actions/checkout before this step, or name the file with `config`."
        raise ConfigError("there is no such file in the workspace", where="config", hint=hint)
    return load(given.config, given.environment or None)


def _region_of_config(given: Inputs) -> str | None:
    """A service that is fully named can be rolled back without a configuration, or with a broken one."""
    if not Path(given.config).exists() and "/" in given.service:
        return None
    if given.command == "reconcile" and not Path(given.config).exists():
        return None
    try:
        return _config_of(given).region
    except ConfigError:
        if "/" in given.service and given.command not in ("release", "plan"):
            return None
        raise


def _event(environment: Mapping[str, str]) -> dict[str, Any]:
    """The payload of the event that started the run; empty when it cannot be read."""
    try:
        read = json.loads(Path(environment.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at))


def _text(value: object) -> str:
    return "" if value is None else str(value)
