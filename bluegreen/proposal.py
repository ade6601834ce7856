"""What `bluegreen init` proposes: from what AWS shows of an account to a bluegreen.yml that can be released. Pure.

    choose      the group, of those that could be released
    propose     the service, its traffic (shared or weighted, and why), its image, in `Proposal`
    text        the commented file

The file names only what AWS shows, or a person said. What nobody knows, such as the commands of a build, stands in a
comment: a release of the file as it is takes the image that serves already.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from bluegreen.config import DEFAULT_ENVIRONMENT, LONGEST_NAME, Timeouts
from bluegreen.errors import ConfigError
from bluegreen.observation import GROUPS_MAX, Candidate, Candidates, Forward, GroupDetails, StoppedInstance
from bluegreen.release import count_of, duration

#: The schema that the first line of the file names, beside the file.
SCHEMA = "bluegreen.schema.json"
#: Green's shares; 0 is a preview, for which a rule must lead to green.
STEPS, PREVIEWED = (10, 50), (0, 10, 50)
#: What the end of a group's name says of its environment.
_ENVIRONMENTS = {
    "dev": "dev",
    "development": "development",
    "prd": "production",
    "prod": "production",
    "production": "production",
    "qa": "qa",
    "stage": "staging",
    "staging": "staging",
    "stg": "staging",
    "test": "test",
}
#: What the end of a group's name says of its kind, and nothing of the service.
_KINDS = ("asg", "autoscaling", "autoscalinggroup", "group")
#: Words that YAML takes for something else than text.
_NO_TEXT = re.compile(r"y|n|yes|no|on|off|true|false|null", re.IGNORECASE)
_WIDTH, _COLUMN = 110, 34
#: The build that the comment shows; a release never runs it as long as it stands there.
_RUN = 'cd /srv/{service} && git fetch origin && git checkout --force "$BLUEGREEN_COMMIT" && ./install'


@dataclass(frozen=True)
class Wishes:
    """What a person said; "" where nothing."""

    group: str = ""
    service: str = ""
    environment: str = ""
    builder: str = ""  # instance id, or the tag Name
    run: str = ""  # the commands that build
    ami: str = ""
    overlap: str = ""
    soak: str = ""


@dataclass(frozen=True)
class Proposal:
    """What the file says. `reason` says why the traffic is shared or weighted, `source` why the image is that one."""

    candidate: Candidate
    details: GroupDetails
    account: str
    region: str
    service: str
    environment: str
    target_groups: tuple[str, ...]
    reason: str
    source: str
    builder: Mapping[str, str]  # as the configuration has it; empty: `ami`
    ami: str
    listeners: tuple[str, ...] = ()
    previews: tuple[str, ...] = ()
    likely: StoppedInstance | None = None  # the builder of the comment
    overlap: str = "5m"
    soak: str = "15m"

    @property
    def weighted(self) -> bool:
        """Whether weights divide the traffic."""
        return bool(self.listeners)

    @property
    def builds(self) -> bool:
        """Whether a release makes an image of a commit."""
        return bool(self.builder)

    @property
    def keeps_blue(self) -> str:
        """Why blue is kept, empty, when it retires; "" when it is deleted."""
        if self.candidate.keeper:
            return f"it seems to be managed by {self.candidate.keeper}, which would make a deleted group again"
        return "it is protected from all deletion" if self.candidate.locked else ""


# --- the group -----------------------------------------------------------------------------------


def choose(found: Candidates, named: str = "") -> Candidate:
    """The group of that name, or the only one that can be released; ConfigError says what to do otherwise."""
    if named:
        return _fit(_named(found, named), found)
    able = fitting(found)
    if len(able) == 1:
        return able[0]
    if able:
        what = f"{len(able)} Auto Scaling groups {found.place} can be released: {_names(able)}"
        raise ConfigError(what, where="group", hint=f"Name one of them: `--group {able[0].name}`.")
    served = [one for one in found.groups if one.target_groups]
    if len(served) == 1:
        return _fit(served[0], found)
    raise _none(found, served)


def fitting(found: Candidates) -> tuple[Candidate, ...]:
    """Those that can be released. What a release made is left out: its service has a configuration."""
    return tuple(one for one in found.groups if one.target_groups and not one.unfit and not one.service)


def _named(found: Candidates, named: str) -> Candidate:
    known = {one.name: one for one in found.groups}
    if named not in known:
        near = get_close_matches(named, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else _elsewhere(found)
        raise ConfigError(f"there is no Auto Scaling group `{named}` {found.place}", where="--group", hint=hint)
    return known[named]


def _fit(one: Candidate, found: Candidates) -> Candidate:
    for what, hint in one.unfit:
        raise ConfigError(f"the group {one.name} {what}", where="group", hint=hint)
    if not one.target_groups:
        what = f"the group {one.name} {found.place} is registered in no target group"
        hint = "Attach it to the target groups of its load balancer: a release changes who is in them."
        raise ConfigError(what, where="group", hint=hint)
    return one


def _none(found: Candidates, served: Sequence[Candidate]) -> ConfigError:
    """Nothing can be released: say why of each that comes near."""
    if not found.groups:
        return ConfigError(f"there is no Auto Scaling group {found.place}", where="group", hint=_elsewhere(found))
    made = [one for one in served if one.service]
    if made and len(made) == len(served):
        what = f"releases made every group {found.place} that is in a target group: {_names(made)}"
        hint = f"Their configuration is in their repositories. `--group {made[0].name}` writes a new one."
        return ConfigError(what, where="group", hint=hint)
    if not served:
        what = f"no Auto Scaling group {found.place} is registered in a target group: {_names(found.groups)}"
        hint = "Attach one to the target groups of its load balancer: a release changes who is in them."
        return ConfigError(what, where="group", hint=hint)
    why = "; ".join(f"{one.name} {one.unfit[0][0]}" for one in served if one.unfit)
    what = f"no Auto Scaling group {found.place} can be released: {why}"
    hint = f"`--group {served[0].name}` says what to do about one of them."
    return ConfigError(what, where="group", hint=hint)


def _elsewhere(found: Candidates) -> str:
    return f"Name another region than {found.region} with `--region`, or take other credentials."


def _names(groups: Iterable[Candidate]) -> str:
    names = [one.name for one in groups]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more


# --- the service ---------------------------------------------------------------------------------


def named_after(one: Candidate, environment: str = "") -> tuple[str, str]:
    """Service and environment: by the tag of a release, else by the tag Name or the name of the group."""
    if one.service:
        service, _, known = one.service.partition("/")
        return service, environment or known
    words = [word for word in re.split(r"[^a-z0-9]+", (one.title or one.name).lower()) if word]
    while len(words) > 1 and words[-1] in _KINDS:
        words.pop()
    known = _ENVIRONMENTS.get(words[-1], "") if len(words) > 1 else ""
    if known and environment in ("", known):
        words.pop()
    chosen = environment or known or DEFAULT_ENVIRONMENT
    return "-".join(words)[: LONGEST_NAME - len(chosen)].strip("-") or "service", chosen


# --- the proposal --------------------------------------------------------------------------------


def propose(found: Candidates, one: Candidate, details: GroupDetails, wishes: Wishes) -> Proposal:
    """What the file will say; ConfigError where nobody can know it."""
    service, environment = named_after(one, wishes.environment)
    traffic = _traffic(found, one, details)
    builder, ami, source = _image(details, wishes, service)
    made = Proposal(
        candidate=one,
        details=details,
        account=found.account,
        region=found.region,
        service=wishes.service or service,
        environment=environment,
        target_groups=tuple(_called(arn, details) for arn in traffic.target_groups),
        reason=traffic.reason,
        source=source,
        builder=builder,
        ami=ami,
        listeners=traffic.listeners,
        previews=traffic.previews,
        likely=likely(details, service),
    )
    said = {key: value for key in ("overlap", "soak") if (value := getattr(wishes, key))}
    return replace(made, **said)


def _called(arn: str, details: GroupDetails) -> str:
    """A target group by its name, which is unique in a region."""
    return details.pools.get(arn, arn)


@dataclass(frozen=True)
class _Traffic:
    target_groups: tuple[str, ...]
    reason: str
    listeners: tuple[str, ...] = ()
    previews: tuple[str, ...] = ()


def _traffic(found: Candidates, one: Candidate, details: GroupDetails) -> _Traffic:
    """Weighted where the load balancer is made for it already, else shared: that needs nothing of it."""
    shared = _Traffic(one.target_groups, "")
    if len(one.target_groups) != 1:
        where = count_of(len(one.target_groups), "target group")
        why = f"{one.name} is in {where}, and weights need one with an empty one beside it"
        return replace(shared, reason=f"Shared, because {why}.")
    (own,) = one.target_groups
    pairs = {frozenset(way.weights) for way in details.forwards if own in way.weights and len(way.weights) == 2}
    if len(pairs) != 1:
        why = "forward to several pairs" if pairs else "does not forward to two target groups"
        who = "its listeners and rules" if pairs else f"the load balancer of {one.name}"
        return replace(shared, reason=f"Shared, because {who} {why}. Weights need one pair, blue's and an empty one.")
    (idle,) = next(iter(pairs)) - {own}
    if why := _in_the_way(found, details, own, idle):
        return replace(shared, reason=f"Shared, because {why}.")
    ways = [way for way in details.forwards if way.weights.keys() & {own, idle}]
    listeners = tuple(way.arn for way in ways if way.weights.get(own))
    previews = tuple(way.arn for way in ways if not way.weights.get(own))
    why = (
        f"its load balancer forwards to {_called(own, details)} and {_called(idle, details)} already, and nobody is in"
    )
    return _Traffic((own, idle), f"Weighted, because {why} {_called(idle, details)}.", listeners, previews)


def _short(arn: str) -> str:
    return arn.rpartition("targetgroup/")[2].partition("/")[0]


def _in_the_way(found: Candidates, details: GroupDetails, own: str, idle: str) -> str:
    """Why weights cannot move between the two target groups, in a clause."""
    name = _called(idle, details)
    if idle not in details.pools:
        return f"{_short(idle)}, to which its load balancer forwards too, takes no instances"
    if count := details.members.get(idle):
        return f"{name}, to which its load balancer forwards too, has {count} target{'s' if count > 1 else ''}"
    if others := [group.name for group in found.groups if idle in group.target_groups]:
        return f"{name}, to which its load balancer forwards too, belongs to {', '.join(others)}"
    serving = [way for way in details.forwards if way.weights.get(own)]
    if not serving:
        return f"no listener or rule gives {_called(own, details)} any traffic"
    ways = [way for way in details.forwards if way.weights.keys() & {own, idle}]
    return next((why for way in ways if (why := _odd_way(way, own, idle))), "")


def _odd_way(way: Forward, own: str, idle: str) -> str:
    """Why the weights of a listener or rule cannot be moved, or what it leads to is unclear."""
    others = sorted(_short(arn) for arn, weight in way.weights.items() if weight and arn not in (own, idle))
    if others:
        return f"{way.name} forwards to {', '.join(others)} too"
    if way.weights.get(own) and way.weights.get(idle):
        return f"{way.name} divides its traffic already"
    if not (way.weights.get(own) or way.weights.get(idle)):
        return f"{way.name} gives neither of its target groups any traffic"
    missing = {own, idle} - way.weights.keys()
    if missing and ":listener/net/" in way.arn and way.weights.get(own):
        return f"{way.name} has no weights"
    return (
        f"{way.name} forwards to the most target groups that AWS takes"
        if len(way.weights) + len(missing) > GROUPS_MAX
        else ""
    )


# --- the image -----------------------------------------------------------------------------------


def likely(details: GroupDetails, service: str) -> StoppedInstance | None:
    """The stopped instance whose name or tags are about building; of several the one with the name of the service."""
    hinted = [one for one in details.machines if one.hinted]
    own = [one for one in hinted if service in one.name.lower()]
    return next((some[0] for some in (hinted, own) if len(some) == 1), None)


def _image(details: GroupDetails, wishes: Wishes, service: str) -> tuple[dict[str, str], str, str]:
    """Builder, AMI and why. A build needs commands that nobody but its owner knows: none is guessed and run as root."""
    if wishes.ami and (wishes.run or wishes.builder):
        raise ConfigError(
            "stands beside a builder", where="--ami", hint="Give either `--ami`, or `--builder` and `--run`."
        )
    if wishes.run:
        machine = _builder(details, wishes.builder, service)
        return {**_as_key(details, machine), "run": wishes.run}, "", f"the stopped instance {_told(machine)}"
    if wishes.builder:
        hint = "Say with `--run` which commands bring it to $BLUEGREEN_COMMIT; it runs them as root."
        raise ConfigError("has no commands to run", where=f"--builder {wishes.builder}", hint=hint)
    if ami := wishes.ami or details.image:
        return {}, ami, "" if wishes.ami else "the image that serves now"
    gone = f" ({details.doubts[-1]})" if details.doubts else ""
    hint = "Name an image with `--ami`, or a builder with `--builder` and `--run`."
    raise ConfigError(f"there is no image to release{gone}", where="image", hint=hint)


def _builder(details: GroupDetails, named: str, service: str) -> StoppedInstance:
    """The stopped instance that is meant."""
    if not named and (one := likely(details, service)):
        return one
    meant = [one for one in details.machines if named in (one.id, one.name)] if named else []
    if len(meant) == 1:
        return meant[0]
    stopped = ", ".join(_told(one) for one in details.machines[:20]) or "none"
    where = f"--builder {named}" if named else "--run"
    what = f"{count_of(len(meant), 'stopped instance')} have that name" if meant else "names no stopped instance"
    if not named:
        what = "needs a builder, and no single stopped instance looks like one"
    hint = f"Stop your builder, and name it with `--builder`. Stopped instances: {stopped}."
    raise ConfigError(what, where=where, hint=hint)


def _told(one: StoppedInstance) -> str:
    return f"{one.name} ({one.id})" if one.name else one.id


def _as_key(details: GroupDetails, machine: StoppedInstance) -> dict[str, str]:
    """By its Name, which survives its replacement, where no other stopped instance has that."""
    alike = [one for one in details.machines if one.name == machine.name]
    return {"tag": machine.name} if machine.name.strip() and len(alike) == 1 else {"instance": machine.id}


# --- the file ------------------------------------------------------------------------------------


def text(made: Proposal) -> str:
    """The file."""
    return "\n".join([*_head(made), *_traffic_lines(made), *_image_lines(made), *_rest(made)]) + "\n"


def _head(made: Proposal) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA}"
    yield from _comment(
        f"`bluegreen init` wrote this from what account {made.account} shows in {made.region}. The file beside it, "
        f"{SCHEMA}, tells your editor every key; `bluegreen schema` prints it again after an update."
    )
    yield _line(f"service: {scalar(made.service)}")
    own = made.environment == DEFAULT_ENVIRONMENT
    yield _line(f"environment: {scalar(made.environment)}", "the default" if own else "")
    yield _line(f"region: {scalar(made.region)}")
    count = count_of(made.candidate.size, "instance")
    version = f" (version {made.details.version})" if made.details.version else ""
    yield from _comment(
        f"It serves today with {count} from the launch template {made.details.template}{version}."
        + (
            f" Green gets its mixed instances policy, too: {', '.join(made.candidate.kinds)}."
            * bool(made.candidate.kinds)
        )
    )
    yield _line(f"group: {scalar(made.candidate.name)}")


def _traffic_lines(made: Proposal) -> Iterator[str]:
    yield "traffic:"
    yield from _comment(made.reason, 2)
    yield _line(f"  target_groups: [{', '.join(map(scalar, made.target_groups))}]")
    if made.weighted:
        yield from _listed("listeners", "their weights divide the traffic", made.listeners, made)
        if made.previews:
            yield from _listed("preview", "they show green before it serves", made.previews, made)
        steps = ", ".join(map(str, PREVIEWED if made.previews else STEPS))
        yield _line(f"  steps: [{steps}]", "green's share in percent, each for its part of the overlap")
    yield _line(f"  overlap: {scalar(made.overlap)}", "how long blue and green both serve")


def _listed(key: str, why: str, arns: Iterable[str], made: Proposal) -> Iterator[str]:
    names = {way.arn: way.name for way in made.details.forwards}
    yield _line(f"  {key}:", why)
    for arn in arns:
        yield from _comment(names[arn], 4)
        yield f"    - {scalar(arn)}"


def _image_lines(made: Proposal) -> Iterator[str]:
    yield "image:"
    if made.builds:
        yield "  builder:"
        for key, value in made.builder.items():
            yield _line(f"    {key}: {scalar(value)}", made.source if key != "run" else "")
        yield _line("    # check: systemctl is-active web", "a command that must pass before the image is made")
        return
    if made.source:
        yield from _comment(
            f"It is {made.source}: a release of this file goes through every phase, and users get what they have. "
            "Release another one with `bluegreen release --ami AMI`, or let a builder make one of each commit:",
            2,
        )
    yield from _sample(made)
    yield _line(f"  ami: {scalar(made.ami)}")


def _sample(made: Proposal) -> Iterator[str]:
    """The builder, as it would stand there: with its commands it takes the place of `ami`."""
    machine = made.likely
    name = _as_key(made.details, machine) if machine else {"tag": f"{made.service}-builder"}
    key, value = next(iter(name.items()))
    why = (
        "a stopped instance that looks like a builder" if machine else "a stopped instance with Systems Manager's agent"
    )
    yield "  # builder:"
    yield _line(f"  #   {key}: {scalar(value)}", why)
    yield f"  #   run: {_RUN.format(service=made.service)}"


def _rest(made: Proposal) -> Iterator[str]:
    page = made.details.page or "http://localhost/healthz"
    yield _line("checks: []", "beside target health, which is always checked; for example, over Systems Manager:")
    yield f"#  - {{name: unit, run: {json.dumps(f'curl -fsS {page}')}}}"
    yield _line(f"soak: {scalar(made.soak)}", "how long blue keeps running, for a rollback in seconds")
    if (least := made.details.earliest) >= Timeouts().healthy:
        why = f"a new target is healthy after {duration(least)}, at the earliest"
        yield _line(f"timeouts: {{healthy: {math.ceil(2 * least / 60)}m}}", why)
    if made.keeps_blue:
        yield from _comment(f"Blue stays, at size 0: {made.keeps_blue}.")
        yield "retire: empty"


def _line(said: str, why: str = "") -> str:
    return f"{said:<{_COLUMN}} # {why}" if why else said


def _comment(said: str, indent: int = 0) -> Iterator[str]:
    margin = f"{' ' * indent}# "
    return iter(textwrap.wrap(said, _WIDTH, initial_indent=margin, subsequent_indent=margin, break_long_words=False))


def scalar(value: str) -> str:
    """Text as YAML reads it back, in any of its versions: plain where nobody can take it for something else."""
    plain = re.fullmatch(r"[A-Za-z/][\w./-]*(:[\w./-]+)*", value, re.ASCII) and not _NO_TEXT.fullmatch(value)
    spans = re.fullmatch(r"\d+(\.\d+)?[smhd]", value)
    return value if plain or spans else json.dumps(value, ensure_ascii=not value.isprintable())
