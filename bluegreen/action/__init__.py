"""The GitHub Action: inputs -> one call of the API -> log, annotations, outputs, page, exit code.

    inputs       the workflow's inputs           workflow   what the runner reads
    request      their meaning                   summary    pages and comments in Markdown
    credentials  the AWS session                 reporter   log, deployment and comment of a release

`main` is the step. `post` is the clean-up, which the runner always starts in a fresh container. A cancelled step gets
SIGINT, and 7.5 s later SIGTERM. After 2.5 s more the runner kills its docker client, but not the container
(actions/runner, ProcessInvoker). So on the first signal the step begins nothing new and ends the call in flight. The
process is gone within `GONE` seconds, even if something hangs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluegreen import checkout, entry_points, wording
from bluegreen.action import credentials, inputs, summary
from bluegreen.action.reporter import OUTPUTS, Reporter
from bluegreen.action.request import Request
from bluegreen.action.workflow import Workflow
from bluegreen.advice import EntryPoint, advised
from bluegreen.engine import Engine
from bluegreen.errors import AwsError, BlueGreenError, Interrupted
from bluegreen.events import Outcome, Phase, Until
from bluegreen.orders import LONGEST_REASON, Caller
from bluegreen.release import Release

if TYPE_CHECKING:
    from bluegreen.config import Config
    from bluegreen.github import GitHub

__all__ = ["OUTPUTS", "main", "post"]

#: Seconds after a signal at which the process ends, whatever it waits for.
GONE = 6.5
#: Seconds for what GitHub was not told yet, at the end and after a signal.
FLUSH, FLUSH_HASTILY = 10.0, 1.5
#: Where reports are, below the workspace.
REPORTS = "bluegreen-report"
#: How many releases of a service `status` shows.
STATUS_RELEASES = 10

#: How the clean-up learns that nobody cancelled: the journal was out of reach, or the credentials had expired.
_PARKED = "parked"

_DECISIONS = {
    entry_points.OK: "live",
    entry_points.FAILED: "failed",
    entry_points.ROLLED_BACK: "rolled_back",
    entry_points.INTERRUPTED: "interrupted",
}


def main(environment: Mapping[str, str] = os.environ) -> int:
    """The step; returns its exit code."""
    entry_points.collect_seldom()
    workflow = Workflow(environment)
    try:
        step = ActionStep(Request(environment, inputs.read(environment)), workflow)
    except BlueGreenError as error:
        reporter = Reporter(workflow)
        reporter.output(entry_points.failed_result(error, None, EntryPoint.GITHUB))
        reporter.ended(0, error)
        return entry_points.error_code(error)
    with entry_points.stopping(step.stopped) as stop:
        return step.run(stop)


def post(environment: Mapping[str, str] = os.environ) -> int:
    """The clean-up. It never fails a job, and reports what it cannot do."""
    workflow = Workflow(environment)
    if not environment.get("STATE_release"):
        workflow.say("No release began: there is nothing to clean up.")
        return 0
    try:
        ActionStep(Request(environment, inputs.read(environment)), workflow).clean_up()
    except Exception as error:
        known = error if isinstance(error, BlueGreenError) else entry_points.unexpected(error)
        workflow.annotate("warning", "bluegreen: clean-up", advised(str(known), EntryPoint.GITHUB))
    return 0


class ActionStep:
    """One step of a job. Its constructor reads the configuration's region and finds the credentials."""

    def __init__(self, request: Request, workflow: Workflow) -> None:
        self.request, self.workflow, self.inputs = request, workflow, request.inputs
        workflow.add_secret(self.inputs.github_token)
        self._region = request.region()
        run = [request.github(name) for name in ("REPOSITORY", "RUN_ID", "RUN_ATTEMPT")]
        self.engine = self._engine(":".join(["github", *run, os.urandom(3).hex()]))
        self.reporter = Reporter(workflow, self._github())
        self._ending = False

    def _engine(self, holder: str = "") -> Engine:
        session = credentials.session(self.inputs, self._region, self.request.environment, self.workflow.add_secret)
        return Engine(table=self.inputs.table or None, region=self._region, session=session, holder=holder)

    # --- the story -------------------------------------------------------------------------------

    def run(self, stop: entry_points.Stop) -> int:
        """Carry out the command and show the result; returns the exit code."""
        try:
            credentials.check_account(self.engine.who(), self.inputs.accounts)
            code, decision = self._do(stop)
        except BlueGreenError as error:
            return self._failed(error)
        except Exception as error:
            return self._failed(entry_points.unexpected(error))
        self._write_report()
        self.reporter.ended(FLUSH)
        self.workflow.state({"ended": decision})
        return code

    def _do(self, stop: entry_points.Stop) -> tuple[int, str]:
        if self.inputs.only_plans:
            return self._plan()
        if self.inputs.command == "reconcile":
            return self._reconcile(stop)
        if self.inputs.command == "release":
            return self._release(stop)
        if self.inputs.command == "status":
            return self._status()
        service = self.request.service()
        if stop():
            raise Interrupted("stopped before any order", where=service)
        if self.inputs.to:
            return self._release_again(service, stop)
        match self.inputs.command:
            case "promote":
                ordered = self.engine.promote(service, who=self.caller, override=self._override)
                return self._attend(ordered.release, Until.HELD, stop)
            case "rollback":
                ordered = self.engine.roll_back(service, who=self.caller, why="ordered in GitHub")
                return self._attend(ordered.release, Until.HELD, stop, _back)
            case "hold":
                return self._ordered(self.engine.hold(service, who=self.caller).release)
            case "unfreeze":
                return self._unfreeze(service)
        return self._attend(self.engine.resume(service, who=self.caller).id, Until.HELD, stop)

    def _plan(self) -> tuple[int, str]:
        from bluegreen import plan_text

        config = self.request.config()
        try:
            made = self.engine.plan(config, commit=self.request.commit(), ami=self.inputs.ami)
        except BlueGreenError as error:
            hint = entry_points.way_on(error, None, EntryPoint.GITHUB)
            self._comment_plan(config.id, summary.failure(f"{config.id} cannot be released", str(error), hint))
            raise
        lines = [advised(line, EntryPoint.GITHUB) for line in plan_text.lines(made)]
        for line in lines:
            self.workflow.say(line)
        self.workflow.summary(summary.plan(lines))
        self._comment_plan(config.id, summary.plan_comment(made, lines))
        self.reporter.output(plan_text.as_object(made))
        return entry_points.OK, "planned"

    def _comment_plan(self, service: str, body: str) -> None:
        """On the open pull request that the run is for; what GitHub refuses is a warning, and the plan stands."""
        github, pull = self.reporter.github, self.request.pull
        for problem in github.comment_plan(pull, service, self.workflow.hide(body)) if github and pull else ():
            self.workflow.annotate("warning", "plan", problem)

    def _release(self, stop: entry_points.Stop) -> tuple[int, str]:
        config = self.request.config()
        until = Until(self.inputs.until) if self.inputs.until else None
        begun = self._cancelled_before(config.id) or self._begin(config, stop, hold=until is Until.HELD)
        return self._attend(begun.id, until or (Until.HELD if begun.hold else Until.LIVE), stop)

    def _release_again(self, service: str, stop: entry_points.Stop) -> tuple[int, str]:
        """By the journal alone: the configuration is that of the last release."""
        image = self.engine.image_of(service, int(self.inputs.to))
        begun = self._cancelled_before(service) or self.engine.release_again(
            service,
            image,
            who=replace(self.caller, request=self.request.request_id("", image)),
            title=f"release {self.inputs.to} again",
            source=self.request.source("", None, self.workflow.hide),
            override=self._override,
            stop=stop,
        )
        return self._attend(begun.id, Until.LIVE, stop)

    def _begin(self, config: Config, stop: entry_points.Stop, *, hold: bool) -> Release:
        ami, commit = self.inputs.ami, self.request.commit()
        github = self.reporter.github
        pull = github.pull_of(commit) if github and commit else None
        return self.engine.start(
            config,
            commit=commit,
            ami=ami,
            who=self.caller,
            hold=hold,
            request=self.request.request_id(commit, ami),
            source=self.request.source(commit, pull, self.workflow.hide),
            override=self._override,
            cure=self.inputs.cures,
            stop=stop,
            pack=partial(checkout.pack, Path(self.request.github("WORKSPACE") or "."), commit),
        )

    def _cancelled_before(self, service: str) -> Release | None:
        """What an earlier attempt of this very run began, and left: running the job again goes on with it."""
        run = self.request.github("RUN_ID")
        for status in self.engine.status(service):
            left = status.release
            if run and left and status.record.under_way and left.source.get("run_id") == run:
                return left
        return None

    def _attend(
        self, id_: str, until: Until, stop: entry_points.Stop, code: Callable[[Release], int] = entry_points.exit_code
    ) -> tuple[int, str]:
        self.workflow.state({"release": id_, "holder": self.engine.holder})
        self.reporter.from_the_start(self.engine.events(id_))
        release = self.engine.attend(id_, until=until, tell=self.reporter.tell, stop=stop, known=self.reporter.release)
        result = entry_points.result(release)
        self.reporter.output(result)
        return code(release), str(result["decision"])

    def _ordered(self, id_: str) -> tuple[int, str]:
        """An order for which nobody waits here: how the release stands now."""
        self.reporter.from_the_start(self.engine.events(id_))
        result = entry_points.result(self.engine.load(id_))
        self.reporter.output(result)
        return entry_points.OK, str(result["decision"])

    def _unfreeze(self, service: str) -> tuple[int, str]:
        lifted = self.engine.unfreeze(service, who=self.caller)
        self.workflow.say(f"{service} is not frozen{'' if lifted else ', and was not'}.")
        self.reporter.output({"schema_version": entry_points.SCHEMA_VERSION, "service": service, "frozen": False})
        return entry_points.OK, ""

    def _status(self) -> tuple[int, str]:
        """One service with its last releases, or all of them."""
        found = self.engine.status(self.request.service() if self.inputs.service else None)
        rows = self.engine.history(found[0].service, STATUS_RELEASES) if len(found) == 1 else []
        page = summary.status(found, rows, self.engine.kept(rows), time.time())
        self.workflow.say(page)
        self.workflow.summary(page)
        told = [entry_points.result(one.release) for one in found if one.release]
        self.reporter.output({"schema_version": entry_points.SCHEMA_VERSION, "services": told})
        return entry_points.OK, ""

    def _reconcile(self, stop: entry_points.Stop) -> tuple[int, str]:
        undriven = self.engine.undriven()
        if not undriven:
            self.workflow.say("Every release under way has a driver.")
        done = entry_points.drive_all(self._engine, undriven, self.reporter.tell_of_many, stop)
        for one in done:
            said = str(one.error) if one.error else wording.outcome_line(one.release) if one.release else ""
            self.workflow.say(advised(said, EntryPoint.GITHUB))
        removed = self.engine.tidy()
        for gone in removed:
            self.workflow.say(advised(gone.said, EntryPoint.GITHUB))
        found = [advised(said, EntryPoint.GITHUB) for said in self.engine.new_drift()]
        for said in found:
            self.workflow.say(said)
        worst = entry_points.gravest(done, removed)
        told = {"releases": [one.result for one in done], "removed": [vars(one) for one in removed], "found": found}
        self.reporter.output({"decision": _DECISIONS[worst], **told})
        return worst, _DECISIONS[worst]

    def _failed(self, error: BlueGreenError) -> int:
        result: dict[str, Any] = entry_points.failed_result(error, self.reporter.release, EntryPoint.GITHUB)
        self.reporter.output(result)
        if not isinstance(error, Interrupted):
            self._write_report()
        self.reporter.ended(FLUSH_HASTILY if isinstance(error, Interrupted) else FLUSH, error)
        parked = isinstance(error, AwsError) and result["decision"] == "interrupted"
        self.workflow.state({"ended": _PARKED if parked else result["decision"]})
        return entry_points.error_code(error, self.reporter.release)

    def _write_report(self) -> None:
        """The page of the release, below the workspace, where a later step finds it; without it nothing fails."""
        events, workspace = self.reporter.events, self.request.github("WORKSPACE")
        if not (events and workspace):
            return
        from bluegreen.report import page, story

        path, folder = Path(REPORTS) / page.file_of(events[0].release), Path(workspace) / REPORTS
        try:
            shown = page.release(story.story(events, time.time()), self.workflow.secrets)
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)  # the runner, who is another user than the container's, has to clean up
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
            (folder / path.name).write_text(shown, encoding="utf-8")
        except Exception as error:
            self.workflow.annotate("warning", "report", f"the report could not be written: {error}")
        else:
            self.workflow.output({"report": str(path)})

    # --- being cancelled -------------------------------------------------------------------------

    def stopped(self, text: str) -> None:
        """A signal came: say so, and end the process in time, even if something hangs."""
        os.write(1, f"{advised(text, EntryPoint.GITHUB)}\n".encode())
        if not self._ending:
            self._ending = True
            timer = threading.Timer(GONE, self._end_now)
            timer.daemon = True
            timer.start()

    def _end_now(self) -> None:
        """The last resort: a call that hangs keeps nobody from going on; the journal has all that was begun."""
        late = Interrupted("the call in flight did not end in time")
        self.reporter.output(entry_points.failed_result(late, self.reporter.release, EntryPoint.GITHUB))
        self.workflow.say("A call to AWS did not end in time; the next driver finds out its result.")
        os._exit(entry_points.INTERRUPTED)

    def clean_up(self) -> None:
        """After a step that was cancelled or killed: free the lease, give the configured order, report to GitHub."""
        get = self.request.environment.get
        release = self.engine.load(get("STATE_release", ""))
        ended = get("STATE_ended", "")
        if ended not in ("", "interrupted", _PARKED) or release.outcome:
            self.workflow.say(wording.outcome_line(release))
            return
        self.engine.abandon(release.id, get("STATE_holder", ""))
        if (
            ended != _PARKED
            and self.inputs.on_cancel == "rollback"
            and release.can_roll_back
            and not release.rollback_by
        ):
            self.engine.roll_back(release.service, who=self.caller, why="the run was cancelled")
            release = self.engine.load(release.id)
        events = self.engine.events(release.id)
        self.reporter.waits_for_a_driver(release, events, _how_to_go_on(release), FLUSH)

    # --- inside ----------------------------------------------------------------------------------

    @property
    def caller(self) -> Caller:
        """By GitHub's login, with its teams; outside of GitHub the AWS principal."""
        login = self.request.login
        if not login:
            return Caller(self.engine.who())
        return Caller(f"github:{login}", lambda team: self._in_team(login, team))

    @property
    def _override(self) -> str:
        return self.workflow.hide(self.inputs.override)[:LONGEST_REASON]

    def _in_team(self, login: str, team: str) -> bool:
        from bluegreen.github import Teams

        return Teams(self.inputs.github_token, self.request.api).member(login, team)

    def _github(self) -> GitHub | None:
        """GitHub to tell; None where there is no token or no repository."""
        repository = self.request.github("REPOSITORY")
        if not (self.inputs.github_token and repository):
            return None
        from bluegreen.github import GitHub

        hide = self.workflow.hide
        return GitHub(
            self.inputs.github_token,
            repository,
            api=self.request.api,
            log_url=self.request.run_url,
            environment_url=self.inputs.environment_url,
            describe=lambda release: hide(advised(wording.outcome_line(release), EntryPoint.GITHUB)),
            comment=lambda release, between: hide(summary.comment(release, between.titles if between else ())),
            past=self._past,
            before=lambda release: release.blue_commit,
            now=time.time,
        )

    def _past(self, id_: str) -> Release | None:
        try:
            return self.engine.load(id_)
        except BlueGreenError:
            return None


def _how_to_go_on(release: Release) -> str:
    """For the person who cancelled, or who finds the run cancelled."""
    whole = "green serves alone" if release.phase is Phase.RETIRING else "nothing is lost and blue keeps running"
    state = f"{release.id} stands in {wording.phase_title(release.phase)}; {whole}."
    resume = advised(f"bluegreen resume {release.service}", EntryPoint.GITHUB)
    on = f"{resume[0].lower()}{resume[1:]}, the bot, or the workflow `reconcile` continues it"
    if release.rollback_pending:
        return f"{state} The rollback is ordered: {on}."
    back = "; one with `command: rollback` returns to blue" if release.can_roll_back else ""
    return f"{state} {on[0].upper()}{on[1:]}{back}."


def _back(release: Release) -> int:
    """A rollback that was ordered has succeeded when blue serves alone again."""
    return entry_points.OK if release.outcome is Outcome.ROLLED_BACK else entry_points.FAILED
