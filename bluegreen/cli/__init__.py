"""The command `bluegreen`: parse, call, print.

Heavy modules load when a command needs them: `bluegreen --help` must come at once.
"""

from __future__ import annotations

import functools
import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bluegreen import __version__, entry_points
from bluegreen.cli import invocation, output
from bluegreen.cli.invocation import CommandGroup, Invocation
from bluegreen.errors import BlueGreenError, ConfigError
from bluegreen.events import Outcome, Until
from bluegreen.freezing import end_of
from bluegreen.release import Release

if TYPE_CHECKING:
    from bluegreen.adoption import Orphan
    from bluegreen.config import Config
    from bluegreen.driver import Tell
    from bluegreen.engine import Engine, Pack, ServiceStatus

Show = Callable[["Tell", entry_points.Stop], Release]


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Zero-downtime blue/green releases for EC2 Auto Scaling groups.

    Exit codes: 0 live, or parked at the requested point; 1 failed; 2 wrong usage or
    configuration; 3 rolled back; 4 refused; 130 interrupted, resumable.
    """


def main() -> None:
    """Run the command line."""
    entry_points.collect_seldom()
    cli(prog_name="bluegreen")


def command(**settings: Any) -> Callable[[Callable[..., int | None]], click.Command]:
    """A command with the options that all have; the function gets an Invocation and returns its exit code."""

    def made(function: Callable[..., int | None]) -> click.Command:
        @functools.wraps(function)
        @click.pass_context
        def call(ctx: click.Context, /, **given: Any) -> None:
            names = ("config_path", "environment", "as_json", "table", "region")
            opened = Invocation(**{name: given.pop(name) for name in names})
            ctx.find_root().meta["bluegreen.json"] = opened.as_json
            ctx.exit(function(opened, **given) or entry_points.OK)

        for option in reversed(_EVERYWHERE):
            call = option(call)
        return cli.command(**settings)(call)

    return made


_EVERYWHERE = (
    click.option("--config", "config_path", metavar="FILE", help=f"The configuration.  [default: {invocation.CONFIG}]"),
    click.option("--environment", metavar="NAME", help="The environment in it.  [default: the one of the file]"),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line; the last is the result."),
    click.option("--table", metavar="NAME", help="The journal.  [default: $BLUEGREEN_TABLE, else bluegreen]"),
    click.option("--region", metavar="NAME", help="The AWS region.  [default: the configuration's, else the AWS one]"),
)
#: The largest number of a release that can be meant (the Action and Slack take nine digits), and rows of a list.
MOST_NUMBER, MOST_LISTED = 999_999_999, 1000

_service = click.argument("service", required=False)
_commit = click.option("--commit", metavar="SHA", default="", help="What to release.  [default: HEAD, if built]")
_ami = click.option("--ami", metavar="AMI", default="", help="Release this image; build none.")
_no_wait = click.option("--no-wait", is_flag=True, help="Only give the order.")
_reason = click.option("--reason", default="", help="The reason, for the record.")


def _said(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """A reason that is given must say something."""
    if value is not None and not value.strip():
        raise click.BadParameter("give a reason: the journal keeps it", ctx, param)
    return value or ""


_override = click.option(
    "--override", metavar="REASON", callback=_said, help="Go on despite a freeze or an earlier rollback, and why."
)


# --- setting up --------------------------------------------------------------------------------------------


@command()
@click.option("--group", metavar="NAME", default="", help="The group that serves, if several could be released.")
@click.option("--service", metavar="NAME", default="", help="The service's name.  [default: by the group's]")
@click.option("--builder", metavar="NAME", default="", help="The stopped instance that makes images: id, or tag Name.")
@click.option("--run", metavar="COMMANDS", default="", help="The commands that bring the builder to $BLUEGREEN_COMMIT.")
@click.option("--ami", metavar="AMI", default="", help="The image to release.  [default: the one that serves]")
@click.option("--overlap", metavar="TIME", default="", help="How long blue and green both serve.  [default: 5m]")
@click.option("--soak", metavar="TIME", default="", help="How long blue keeps running afterwards.  [default: 15m]")
@click.option("--action", metavar="REPOSITORY@REF", default="", help="Where workflows get the Action from.")
@click.option("--no-workflows", is_flag=True, help="Write no workflows for GitHub.")
@click.option("--yes", is_flag=True, help="Ask nothing, and write the files.")
@click.option("--print", "show", is_flag=True, help="Print the files, and write none.")
def init(at: Invocation, action: str, no_workflows: bool, yes: bool, show: bool, **said: str) -> None:
    """Write bluegreen.yml and workflows from what AWS shows.

    It overwrites no file, and changes nothing in AWS.
    """
    from bluegreen.cli import initializing
    from bluegreen.proposal import Wishes

    initializing.initialize(at, initializing.InitOptions(Wishes(**said), action, not no_workflows, yes, show))


# --- releasing ---------------------------------------------------------------------------------------------


@command()
@_commit
@_ami
@click.option("--until", type=click.Choice(["held", "switched", "live"]), help="Stop there; a later command continues.")
@_override
@click.option("--cure", is_flag=True, help="Even if the serving version is unhealthy; then there is no rollback to it.")
def release(at: Invocation, commit: str, ami: str, until: str | None, override: str, cure: bool) -> int:
    """Release a commit or an image, and show it to its end."""
    from bluegreen import checkout

    config = at.config()
    engine = at.engine(config)
    sha = invocation.commit_of(config, commit, ami, _folder(at))
    source = invocation.source_of(sha, _folder(at))
    pack = partial(checkout.pack, _folder(at), sha)
    return _watch(at, _begin(engine, config, sha, ami, until, source=source, override=override, cure=cure, pack=pack))


@command()
@_commit
@_ami
def plan(at: Invocation, commit: str, ami: str) -> None:
    """Show what a release would do, and change nothing.

    Also show what a rollback would do in each phase.
    """
    from bluegreen import plan_text

    config = at.config()
    sha = invocation.commit_of(config, commit, ami, _folder(at))
    made = at.engine(config).plan(config, commit=sha, ami=ami)
    if at.as_json:
        output.echo_json(plan_text.as_object(made))
        return
    for line in plan_text.lines(made):
        output.say(line)


@command()
@_service
@_no_wait
@_override
def promote(at: Invocation, service: str | None, no_wait: bool, override: str) -> int:
    """Promote the held release, and show it to its end."""
    engine, meant = at.meant(service)
    ordered = engine.promote(meant, who=engine.who(), override=override)
    return _given(at, engine, ordered.release) if no_wait else _attend(at, engine, ordered.release)


@command()
@_service
def hold(at: Invocation, service: str | None) -> int:
    """Make the release wait for a promotion, while both serve."""
    engine, meant = at.meant(service)
    return _given(at, engine, engine.hold(meant, who=engine.who()).release)


@command()
@_service
@click.option(
    "--to", "number", type=click.IntRange(1, MOST_NUMBER), metavar="N", help="Release the image of release N again."
)
@_no_wait
@_reason
@_override
def rollback(at: Invocation, service: str | None, number: int | None, no_wait: bool, reason: str, override: str) -> int:
    """Give blue all traffic again, and remove green. Exits with 0 when blue serves alone."""
    engine, meant = at.meant(service)
    if number is not None:
        return _release_again(at, engine, meant, number, no_wait, reason, override)
    if override:
        raise ConfigError("has no meaning without --to", where="--override", hint="A rollback to blue needs no reason.")
    ordered = engine.roll_back(meant, who=engine.who(), why=reason)
    if no_wait:
        return _given(at, engine, ordered.release)
    return _attend(at, engine, ordered.release, code=_rollback_code)


@command()
@_service
def resume(at: Invocation, service: str | None) -> int:
    """Continue a release that has no driver, or that failed."""
    engine, meant = at.meant(service)
    return _attend(at, engine, engine.resume(meant, who=engine.who()).id)


@command()
@_service
@click.option("--group", metavar="NAME", default="", help="The live group, if several groups serve.")
def adopt(at: Invocation, service: str | None, group: str) -> None:
    """Repair a lost or old journal from what AWS shows.

    It changes nothing in AWS.
    """
    from bluegreen.cli import listing

    config = at.config()
    engine, meant = at.meant(service)
    _must_describe(at, config, meant)
    listing.print_adoption(engine.adopt(config, who=engine.who(), group=group), as_json=at.as_json)


@command()
def reconcile(at: Invocation) -> int:
    """Continue every release that has no driver.

    As far as each goes without a person. Then delete groups that releases left and nobody needs;
    `bluegreen status` names them.
    """
    from bluegreen.cli import reconciling

    return reconciling.reconcile(at)


# --- looking -----------------------------------------------------------------------------------------------


@command()
@_service
@click.option("--watch", is_flag=True, help="Go on: with a release to its end, else with the table until Ctrl-C.")
def status(at: Invocation, service: str | None, watch: bool) -> int | None:
    """Show every service, or one, and what is under way."""
    from bluegreen.cli import listing

    if service:
        return _status_of(at, service, watch)
    config = at.config_if_any()
    engine = at.engine(config)

    def look() -> Sequence[ServiceStatus]:
        statuses = engine.status()
        if config and not statuses and (lost := engine.lost(config.id)):
            raise lost
        return statuses

    def show(statuses: Sequence[ServiceStatus]) -> None:
        listing.print_status(statuses, *_beside(engine), as_json=at.as_json)

    if watch:
        from bluegreen.cli import watching

        return watching.again(look, show, in_place=output.can_show_pictures() and not at.as_json)
    show(look())
    return None


def _status_of(at: Invocation, service: str, watch: bool) -> int | None:
    from bluegreen.cli import listing

    engine, meant = at.meant(service)
    if not (found := engine.status(meant)):
        never = ConfigError("has no releases", where=meant, hint="`bluegreen status` lists the releases.")
        raise engine.lost(meant) or never
    under_way = found[0].release if found[0].record.under_way else None
    if watch and under_way:
        return _watch(at, lambda tell, stop: engine.watch(under_way.id, tell=tell, stop=stop))
    listing.print_status(found, *_beside(engine, meant), as_json=at.as_json)
    return None


def _beside(engine: Engine, service: str = "") -> tuple[Sequence[Orphan], Sequence[str]]:
    """What nobody needs, and where AWS differs; nothing if AWS is not readable: the journal alone tells what serves."""
    try:
        return engine.orphans(service), list(engine.drift(service).values())
    except BlueGreenError:
        return (), ()


@command()
@_service
@click.option("--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, help="How many.")
def history(at: Invocation, service: str | None, limit: int) -> None:
    """Show a service's releases, the newest first."""
    from bluegreen.cli import listing

    engine, meant = at.meant(service)
    rows = engine.history(meant, limit)
    if not rows and (lost := engine.lost(meant)):
        raise lost
    listing.print_history(meant, rows, engine.kept(rows), as_json=at.as_json)


@command()
@click.argument("release", required=False)
@click.option(
    "-o", "--output", "to", metavar="FILE", default="", help="Where to; - for stdout.  [default: by its name]"
)
@click.option("--all", "every", is_flag=True, help="The history with its four figures, and a page for each release.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="With --all: how far back it goes."
)
@click.option("--force", is_flag=True, help="Replace a file that is no report.")
def report(at: Invocation, release: str | None, to: str, every: bool, days: int, force: bool) -> None:
    """Write a release, or the history, as HTML pages.

    RELEASE is one as in web/production#42, or a service for its newest one.
    """
    from bluegreen.cli import reporting

    options = reporting.ReportOptions(to, force, days)
    (reporting.report_all if every else reporting.report)(at, release, options)


@command()
@click.option(
    "--who", metavar="ID", default="", help="What slack:U…, github:login or an ARN may do, and by which rule."
)
def explain(at: Invocation, who: str) -> None:
    """Show who may do what, and which rule decides."""
    from bluegreen.cli import explaining

    explaining.explain(at, who)


@command()
@click.option("--role", metavar="NAME", default="", help="Whose permissions count.  [default: the caller's]")
def doctor(at: Invocation, role: str) -> int:
    """Show every precondition of a release, and what to do about it.

    It changes nothing. Exits with 0 when nothing is in the way.
    """
    from bluegreen.cli import doctoring

    return doctoring.examine(at, role)


@command(name="iam-policy")
@click.option(
    "--for",
    "holder",
    type=click.Choice(["action", "bot", "reader"]),
    default="action",
    show_default=True,
    help="Whose role gets it; a reader gives no orders.",
)
@click.option("--terraform", is_flag=True, help="Print it as a data source of Terraform.")
@click.option("--cloudformation", is_flag=True, help="Print a CloudFormation template of it.")
@click.option("--trust", is_flag=True, help="Print the trust policy of the workflows' role instead.")
@click.option("--repository", metavar="OWNER/NAME", default="", help="With --trust: whose.  [default: by git's origin]")
def iam_policy(at: Invocation, holder: str, repository: str, **forms: bool) -> None:
    """Print the IAM policy for a role that releases this service.

    It names what the configuration and AWS show: the group, its template, roles and alarms.
    """
    from bluegreen import iam_policy

    asked = [name for name, given in forms.items() if given]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in asked)} print different things: give one.")
    form = "".join(asked)
    config = at.config()
    engine = at.engine(config)
    if form == "trust":
        named = repository or invocation.repository_of(_folder(at))
        _say_lines(json.dumps(iam_policy.trust(engine.who(), named, config.environment), indent=2))
        return
    facts = engine.account(config)
    made = iam_policy.policy(config, facts, engine.table, iam_policy.Holder(holder))
    document = iam_policy.document(made)
    if at.as_json:
        told = {"service": config.id, "policy": document, "doubts": list(facts.doubts)}
        output.echo_json({"schema_version": entry_points.SCHEMA_VERSION, **told})
        return
    written = (
        iam_policy.cloudformation(made, config, iam_policy.Holder(holder)) if form == "cloudformation" else document
    )
    _say_lines(iam_policy.terraform(made, "bluegreen") if form == "terraform" else json.dumps(written, indent=2))
    for doubt in facts.doubts:
        output.say(f"warning: {doubt}", err=True)


@command()
def schema(at: Invocation) -> None:
    """Print the JSON Schema of bluegreen.yml, for editors."""
    from bluegreen.config import json_schema

    _say_lines(json.dumps(json_schema(), indent=2))


@command()
@_service
@_reason
@click.option("--until", metavar="TIME", default="", help="4h, 2d, 2030-01-31T18:00, or forever.  [default: forever]")
def freeze(at: Invocation, service: str | None, reason: str, until: str) -> None:
    """Refuse releases and promotions of a service for a time.

    You can still roll back.
    """
    ends = end_of(until, time.time()) if until else None
    engine, meant = at.meant(service)
    begun = engine.freeze(meant, who=engine.who(), why=reason, until=ends)
    goes_on = f"; {begun.id} began before and goes on: bluegreen hold {meant} lets it wait" if begun else ""
    _say(at, meant, f"{meant} is frozen{f' until {output.date(ends)}' if ends else ''}{goes_on}", frozen=True)


@command()
@_service
def unfreeze(at: Invocation, service: str | None) -> None:
    """Allow releases of a service again."""
    engine, meant = at.meant(service)
    lifted = engine.unfreeze(meant, who=engine.who())
    _say(at, meant, f"{meant} is not frozen{'' if lifted else ', and was not'}", frozen=False)


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def demo(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Show a real release on this machine, without an AWS account."""
    try:
        shown = importlib.import_module("lab.demo")
    except ImportError as error:
        what = f"the lab is not installed ({error})"
        hint = "Install it: pip install 'bluegreen[lab]', or in a clone: pip install -e '.[lab]'."
        raise ConfigError(what, where="demo", hint=hint) from None
    ctx.exit(shown.main(list(arguments)))


# --- inside ------------------------------------------------------------------------------------------------


def _say_lines(text: str) -> None:
    for line in text.splitlines():
        output.say(line)


def _watch(at: Invocation, show: Show, code: Callable[[Release], int] = entry_points.exit_code) -> int:
    """Show a release while `show` drives or follows it; print how it stands then."""
    screen = output.screen_for(as_json=at.as_json)
    try:
        with screen, output.warnings_to(screen), entry_points.stopping(screen.note) as stop:
            release = show(screen.tell, stop)
    except BlueGreenError as error:
        output.failure(error, screen.release, as_json=at.as_json)
        return entry_points.error_code(error, screen.release)
    output.ended(release, as_json=at.as_json, said=screen.says_the_end and screen.release is not None)
    return code(release)


def _begin(
    engine: Engine,
    config: Config,
    commit: str,
    ami: str,
    until: str | None,
    *,
    source: Mapping[str, str] | None = None,
    override: str = "",
    cure: bool = False,
    pack: Pack | None = None,
) -> Show:
    """Start a release, then show it."""

    def start() -> Release:
        return engine.start(
            config,
            commit=commit,
            ami=ami,
            who=engine.who(),
            hold=until == "held",
            source=source,
            override=override,
            cure=cure,
            pack=pack,
        )

    return _shown(engine, start, until)


def _shown(engine: Engine, start: Callable[[], Release], until: str | None) -> Show:
    """What `start` starts, to its end."""

    def show(tell: Tell, stop: entry_points.Stop) -> Release:
        begun = start()
        tell(begun, next(engine.follow(begun.id)), None, None)
        return engine.attend(begun.id, until=_until(until, begun), tell=tell, stop=stop)

    return show


def _attend(
    at: Invocation,
    engine: Engine,
    id_: str,
    until: str = "held",
    code: Callable[[Release], int] = entry_points.exit_code,
) -> int:
    return _watch(at, lambda tell, stop: engine.attend(id_, until=Until(until), tell=tell, stop=stop), code)


def _until(asked: str | None, release: Release) -> Until:
    """As far as was asked; else to the end, but nobody waits at a terminal for a promotion by default."""
    return Until(asked) if asked else Until.HELD if release.hold else Until.LIVE


def _rollback_code(release: Release) -> int:
    """A rollback has succeeded when blue serves alone again, and in no other case."""
    return entry_points.OK if release.outcome is Outcome.ROLLED_BACK else entry_points.FAILED


def _release_again(
    at: Invocation, engine: Engine, service: str, number: int, no_wait: bool, reason: str, override: str
) -> int:
    """By the journal alone: the configuration is that of the last release."""

    def start() -> Release:
        image, title = engine.image_of(service, number), reason or f"release {number} again"
        return engine.release_again(service, image, who=engine.who(), title=title, override=override)

    return _given(at, engine, start().id) if no_wait else _watch(at, _shown(engine, start, None))


def _must_describe(at: Invocation, config: Config, service: str) -> None:
    if config.id != service:
        where = at.config_path or invocation.CONFIG
        raise ConfigError(f"describes {config.id}, not {service}", where=where, hint="Name another with --config.")


def _given(at: Invocation, engine: Engine, id_: str) -> int:
    """After an order that nobody waits for: how the release stands."""
    output.ended(engine.load(id_), as_json=at.as_json)
    return entry_points.OK


def _folder(at: Invocation) -> Path:
    return Path(at.config_path or invocation.CONFIG).resolve().parent


def _say(at: Invocation, service: str, text: str, **facts: Any) -> None:
    if at.as_json:
        output.echo_json({"schema_version": entry_points.SCHEMA_VERSION, "service": service, **facts})
    else:
        output.say(text)
