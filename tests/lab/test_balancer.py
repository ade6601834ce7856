"""The lab's load balancer and its visitors: real HTTP, and counters that can count failures."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lab.aws import FakeAws
from lab.balancer import Balancer
from lab.clock import VirtualClock
from lab.load import Load
from lab.machines import FakeMachines
from lab.routing import LOGGED_IN, Pool, RoutedRequest, Turns, Way, cookie, fits, stuck, table_of
from lab.server import HOST, Servers
from lab.world import World
from tests.worlds.waiting import eventually


class Table:
    """A routing table that a test edits while requests run."""

    def __init__(self) -> None:
        """No group yet."""
        self.pools: dict[str, tuple[dict[str, str], int]] = {}
        self.sticky = 0.0

    def put(self, group: str, weight: int = 1, **states: str) -> None:
        """Set one group: `put("web", i_1="healthy")`."""
        self.pools[group] = ({name.replace("_", "-"): state for name, state in states.items()}, weight)

    def __call__(self, asked: RoutedRequest) -> Way:
        """The table as it stands."""
        return Way(
            [Pool(name, dict(states), weight) for name, (states, weight) in self.pools.items()], sticky=self.sticky
        )


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Instances i-1 and i-2 of version 1, i-3 and i-4 of version 2, all serving."""
    with Servers(tmp_path_factory.mktemp("lab") / "lab") as servers:
        servers.repository.push("2")
        for instance_id in ("i-3", "i-4"):
            servers.repository.clone(servers.disk(instance_id))
        for instance_id in ("i-1", "i-2", "i-3", "i-4"):
            serve(servers, instance_id)
        yield servers


@pytest.fixture
def table() -> Table:
    """An empty table."""
    return Table()


@pytest.fixture
def balancer(servers: Servers, table: Table) -> Iterator[Balancer]:
    """A balancer before those servers."""
    with Balancer(table, servers.address, connect_timeout=1, idle_timeout=1.5) as balancer:
        yield balancer


def serve(servers: Servers, instance_id: str) -> None:
    """Start an instance and wait until it answers."""
    servers.start(instance_id, "base")
    eventually(lambda: servers.answers(instance_id, "/"))


def get(url: str, **headers: str) -> tuple[int, str]:
    """Status and version of one answer."""
    asked = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.headers["X-Version"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_every_target_has_its_turn(balancer: Balancer, table: Table) -> None:
    """Round robin among the healthy; the others get nothing."""
    table.put("web", i_1="healthy", i_2="healthy", i_3="unhealthy", i_4="initial")
    assert {get(balancer.url) for _ in range(10)} == {(200, "1")}
    assert balancer.counts.by_target == {"i-1": 5, "i-2": 5}


def test_weights_are_obeyed(balancer: Balancer, table: Table) -> None:
    """Of a hundred requests, as many go to a group as its weight says."""
    table.put("blue", 90, i_1="healthy", i_2="healthy")
    table.put("green", 10, i_3="healthy", i_4="healthy")
    visits = Load(balancer.url, visitors=4, requests=100)
    visits.start()
    assert visits.wait().by_version() == {"1": 90, "2": 10}
    assert balancer.counts.by_group == {"blue": 90, "green": 10}


def test_weight_zero_gets_nothing() -> None:
    """A group without weight has no turn, however healthy; and without any weight nobody has."""
    turns = Turns()
    preview = Pool("green", {"i-3": "healthy"}, 0)
    blue = Pool("blue", {"i-1": "healthy"}, 1)
    assert [turns.group([blue, preview]) for _ in range(3)] == [blue, blue, blue]
    assert turns.group([preview]) is None


def test_group_is_chosen_before_its_health(balancer: Balancer, table: Table) -> None:
    """As at AWS, weight sends requests into an empty group while the other one is well."""
    table.put("blue", 50, i_1="healthy")
    table.put("green", 50)
    assert sorted(get(balancer.url)[0] for _ in range(4)) == [200, 200, 503, 503]


def test_nobody_healthy_means_everybody(balancer: Balancer, table: Table) -> None:
    """With no healthy target the balancer fails open to all registered ones, but not to those that leave."""
    table.put("web", i_1="unhealthy", i_3="initial", i_4="draining")
    assert [get(balancer.url) for _ in range(4)].count((200, "1")) == 2
    assert balancer.counts.by_target == {"i-1": 2, "i-3": 2}


def test_no_target_is_503(balancer: Balancer, table: Table) -> None:
    """Nothing registered, or everything draining: 503, and it is counted."""
    table.put("web", i_1="draining")
    assert get(balancer.url)[0] == 503
    assert [failure.status for failure in balancer.counts.failures] == [503]


def test_silent_target_is_504(table: Table) -> None:
    """A target that accepts and says nothing costs a 504 after the idle timeout."""
    table.put("web", i_mute="healthy")
    with socket.create_server((HOST, 0)) as mute:
        address = f"http://{HOST}:{mute.getsockname()[1]}"
        with Balancer(table, lambda _: address, idle_timeout=0.3) as balancer:
            assert get(balancer.url)[0] == 504


def test_draining_target_finishes_its_request(balancer: Balancer, table: Table) -> None:
    """A slow request on a target that begins to drain is answered by it; new ones go elsewhere."""
    table.put("web", i_1="healthy")
    with ThreadPoolExecutor(1) as visitor:
        slow = visitor.submit(get, f"{balancer.url}/slow?seconds=1")
        eventually(lambda: balancer.outstanding("i-1"))
        table.put("web", i_1="draining", i_3="healthy")
        assert {get(balancer.url) for _ in range(5)} == {(200, "2")}
        assert not slow.done()
        assert slow.result() == (200, "1")
    assert balancer.outstanding("i-1") == 0


def test_right_order_fails_nobody(servers: Servers, balancer: Balancer, table: Table) -> None:
    """Drain, wait for the last answer, terminate: under load, not one request fails."""
    serve(servers, "i-5")
    table.put("web", i_5="healthy", i_3="healthy")
    with Load(balancer.url, visitors=8, seconds=20) as load:
        eventually(lambda: load.seen().by_version().get("1", 0) > 10)
        table.put("web", i_5="draining", i_3="healthy")
        moment = time.time()
        eventually(lambda: not balancer.outstanding("i-5"))
        servers.terminate("i-5")
        terminated = time.time()
        eventually(lambda: len(load.seen().since(terminated).all) > 100)
        visits = load.stop()
    assert visits.failed == ()
    assert set(visits.since(moment).by_version()) == {"2"}


def test_hard_kill_is_counted(servers: Servers, balancer: Balancer, table: Table) -> None:
    """A target that loses its power while it is in use costs requests, and both counters see each of them."""
    serve(servers, "i-6")
    table.put("web", i_6="healthy", i_3="healthy")
    with Load(balancer.url, visitors=8, seconds=20) as load:
        eventually(lambda: load.seen().by_version().get("1", 0) > 10)
        servers.kill("i-6")
        eventually(lambda: len(load.seen().failed) > 10)
        visits = load.stop()
    assert {visit.status for visit in visits.failed} == {502}
    assert len(visits.failed) == len(balancer.counts.failures)


def test_visitors_see_a_dead_balancer(servers: Servers, table: Table) -> None:
    """Where nothing answers at all, every visit is a failure with its reason."""
    with Balancer(table, servers.address) as balancer:
        url = balancer.url
    load = Load(url, visitors=2, pause=0.01, requests=6)
    load.start()
    visits = load.wait()
    assert [visit.status for visit in visits.failed] == [0] * 6
    assert all(visit.trouble for visit in visits.failed)


def test_visitors_stop_by_themselves(balancer: Balancer, table: Table) -> None:
    """Neither time nor number goes past its bound."""
    table.put("web", i_1="healthy")
    began = time.monotonic()
    with Load(balancer.url, visitors=3, seconds=0.4) as timed:
        timed.wait()
    assert time.monotonic() - began < 60
    with Load(balancer.url, visitors=3, requests=20) as counted:
        assert len(counted.wait().all) == 20


def test_visits_tell_when(balancer: Balancer, table: Table) -> None:
    """The moment of a switch can be read from what the visitors saw."""
    table.put("web", i_1="healthy")
    with Load(balancer.url, visitors=4, seconds=10) as load:
        eventually(lambda: "1" in load.seen().by_version())
        before = time.time()
        table.put("web", i_3="healthy")
        switch = time.time()
        eventually(lambda: "2" in load.seen().since(switch).by_version())
        visits = load.stop()
    first, last = visits.first("2"), visits.last("1")
    assert first is not None
    assert last is not None
    assert before <= first
    assert last <= max(one.ended for one in visits.all if one.began <= switch)
    assert set(visits.since(switch).by_version()) == {"2"}
    assert visits.slowest() < 60


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        """Say it back."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", self.path)
        self.send_header("X-Seen", f"{self.headers['X-Forwarded-For']} {self.headers['X-Preview']}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing on the terminal."""


def test_requests_pass_whole(table: Table) -> None:
    """Method, path, query, headers and body go through, and so does the answer, redirections included."""
    table.put("web", i_echo="healthy")
    with ThreadingHTTPServer((HOST, 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        address = f"http://{HOST}:{echo.server_port}"
        with Balancer(table, lambda _: address) as balancer:
            connection = HTTPConnection(balancer.url.removeprefix("http://"), timeout=5)
            connection.request("POST", "/a%20b?c=d", body=b"x" * 10_000, headers={"X-Preview": "green"})
            answer = connection.getresponse()
            seen = (answer.status, answer.headers["Location"], answer.headers["X-Seen"], answer.read())
            connection.close()
        echo.shutdown()
    assert seen == (302, "/a%20b?c=d", f"{HOST} green", b"x" * 10_000)


# --- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blue", "green"), [(100, 0), (99, 1), (90, 10), (50, 50), (1, 2), (0, 7), (999, 1), (333, 667)]
)
def test_shares_are_exact(blue: int, green: int) -> None:
    """Of a thousand requests within one; and of each stretch of two hundred within a few."""
    turns = Turns()
    pools = [Pool("blue", {}, blue), Pool("green", {}, green)]
    names = [turns.group(pools).name for _ in range(1000)]  # type: ignore[union-attr]
    share = green / (blue + green)
    assert abs(names.count("green") - 1000 * share) <= 1
    assert all(abs(names[at : at + 200].count("green") - 200 * share) <= 2 for at in range(0, 800, 50))


def test_a_shift_counts_from_the_next_request() -> None:
    """Nothing is owed from the time before: the first hundred after it have the new shares."""
    turns = Turns()
    for blue, green in ((100, 0), (90, 10), (50, 50), (0, 100), (100, 0)):
        pools = [Pool("blue", {}, blue), Pool("green", {}, green)]
        names = [turns.group(pools).name for _ in range(107)]  # type: ignore[union-attr]
        assert abs(names[:100].count("green") - green) <= 1


def test_nothing_is_owed_from_other_weights() -> None:
    """A group that had saved up a great part of 999 turns does not get them in a row when the weights become even."""
    turns = Turns()
    for _ in range(300):
        turns.group([Pool("blue", {}, 999), Pool("green", {}, 1)])
    even = [Pool("blue", {}, 1), Pool("green", {}, 1)]
    names = [turns.group(even).name for _ in range(10)]  # type: ignore[union-attr]
    assert 5 == names.count("green")


def test_rules_have_turns_of_their_own() -> None:
    """Two rules with the same groups do not take each other's turns."""
    turns = Turns()
    even, mostly = ([Pool("blue", {}, blue), Pool("green", {}, 100 - blue)] for blue in (50, 90))
    seen = [(turns.group(even, "a"), turns.group(mostly, "b")) for _ in range(100)]
    assert ["blue"] * 50 == [one.name for one, _ in seen if one and one.name == "blue"]
    assert ["blue"] * 90 == [other.name for _, other in seen if other and other.name == "blue"]


# --- rules -----------------------------------------------------------------------------------------

ASKED = RoutedRequest("/img/a.png", "v=1&x-Y=Abc", "Web.example.com:8080", "POST", {"x-preview": "Green"})
CONDITIONS: list[tuple[str, dict[str, Any], bool]] = [
    ("path-pattern", {"PathPatternConfig": {"Values": ["/img/*"]}}, True),
    ("path-pattern", {"PathPatternConfig": {"Values": ["/other", "/img/?.png"]}}, True),
    ("path-pattern", {"PathPatternConfig": {"Values": ["/IMG/*"]}}, False),
    ("path-pattern", {"PathPatternConfig": {"Values": ["/img"]}}, False),
    ("path-pattern", {"PathPatternConfig": {"Values": ["/img/[a].png"]}}, False),
    ("host-header", {"HostHeaderConfig": {"Values": ["web.EXAMPLE.com"]}}, True),
    ("host-header", {"HostHeaderConfig": {"Values": ["*.example.com"]}}, True),
    ("host-header", {"HostHeaderConfig": {"Values": ["example.com"]}}, False),
    ("http-header", {"HttpHeaderConfig": {"HttpHeaderName": "X-Preview", "Values": ["green"]}}, True),
    ("http-header", {"HttpHeaderConfig": {"HttpHeaderName": "x-preview", "Values": ["gr*"]}}, True),
    ("http-header", {"HttpHeaderConfig": {"HttpHeaderName": "x-preview", "Values": ["blue"]}}, False),
    ("http-header", {"HttpHeaderConfig": {"HttpHeaderName": "x-other", "Values": ["*"]}}, False),
    ("http-request-method", {"HttpRequestMethodConfig": {"Values": ["GET", "POST"]}}, True),
    ("http-request-method", {"HttpRequestMethodConfig": {"Values": ["GET"]}}, False),
    ("query-string", {"QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}]}}, True),
    ("query-string", {"QueryStringConfig": {"Values": [{"Key": "X-y", "Value": "a*"}]}}, True),
    ("query-string", {"QueryStringConfig": {"Values": [{"Value": "1"}]}}, True),
    ("query-string", {"QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}]}}, False),
    ("source-ip", {"SourceIpConfig": {"Values": ["0.0.0.0/0"]}}, False),
]


@pytest.mark.parametrize(("kind", "config", "holds"), CONDITIONS)
def test_conditions(kind: str, config: dict[str, Any], holds: bool) -> None:
    """Paths mind capitals, everything else does not; any of the values is enough."""
    assert holds == fits({"Field": kind, **config}, ASKED)


class Ruled:
    """A listener of the fake AWS, and where it sends what."""

    def __init__(self, **world: Any) -> None:
        clock = VirtualClock()
        self.fake = FakeAws(clock, FakeMachines(clock))
        self.world = World.standard(self.fake, instances=1, weighted=True, **world)
        self.elb = self.world.client("elbv2")
        self.table = table_of(self.fake, self.world.listener)

    def rule(self, priority: int, field: str, config: dict[str, Any], *actions: dict[str, Any]) -> str:
        """One more rule."""
        made = self.elb.create_rule(
            ListenerArn=self.world.listener,
            Priority=priority,
            Conditions=[{"Field": field, **config}],
            Actions=list(actions),
        )
        return str(made["Rules"][0]["RuleArn"])

    def fixed(self, status: str) -> dict[str, Any]:
        """An answer of the load balancer itself."""
        return {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": status, "MessageBody": "no"}}


def test_the_first_rule_that_fits_decides() -> None:
    """By priority, whichever was made first; what fits none goes by the default action."""
    lab = Ruled()
    paths = {"PathPatternConfig": {"Values": ["/a*"]}}
    lab.rule(20, "path-pattern", paths, lab.fixed("404"))
    lab.rule(10, "path-pattern", {"PathPatternConfig": {"Values": ["/ab"]}}, lab.fixed("410"))
    assert (410, 404) == tuple(lab.table(RoutedRequest(path)).answer[0] for path in ("/ab", "/abc"))  # type: ignore[index]
    way = lab.table(RoutedRequest("/"))
    assert [(lab.world.target_groups[0], 100), (lab.world.target_groups[1], 0)] == [
        (pool.name, pool.weight) for pool in way.pools
    ]
    assert [1, 0] == [len(pool.candidates()) for pool in way.pools]
    assert (404, {"Content-Type": "text/plain"}, "no") == lab.table(RoutedRequest("/a")).answer
    assert Way() == table_of(lab.fake, "no listener")(RoutedRequest())


def test_redirects_keep_what_they_do_not_change() -> None:
    """As AWS's placeholders say."""
    lab = Ruled()
    config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    lab.rule(
        1, "path-pattern", {"PathPatternConfig": {"Values": ["*"]}}, {"Type": "redirect", "RedirectConfig": config}
    )
    assert (301, {"Location": "https://a.example.com/b/c?d=e"}, "") == lab.table(
        RoutedRequest("/b/c", "d=e", "a.example.com")
    ).answer
    config |= {"Host": "www.#{host}", "Path": "/new/#{path}", "Query": "x=1"}
    rule = lab.fake.rules(lab.world.listener)[0][0]
    lab.elb.modify_rule(RuleArn=rule, Actions=[{"Type": "redirect", "RedirectConfig": config}])
    assert (301, {"Location": "https://www.a.example.com/new/b?x=1"}, "") == lab.table(
        RoutedRequest("/b", "", "a.example.com")
    ).answer


# --- stickiness --------------------------------------------------------------------------------------


def test_a_client_stays_with_its_group_until_its_cookie_expires(balancer: Balancer, table: Table) -> None:
    """Whatever the weights say by then; who has no cookie goes by them."""
    table.sticky = 1.0
    table.put("blue", 100, i_1="healthy")
    table.put("green", 0, i_3="healthy")
    with urllib.request.urlopen(balancer.url, timeout=10) as answer:
        cookies = answer.headers.get_all("Set-Cookie")
    assert ["AWSALBTG", "AWSALBTGCORS"] == [one.partition("=")[0] for one in cookies]
    assert all("Expires=" in one for one in cookies)
    mine = cookies[0].partition(";")[0]
    table.put("blue", 0, i_1="healthy")
    table.put("green", 100, i_3="healthy")
    assert (200, "1") == get(balancer.url, Cookie=mine)
    assert (200, "2") == get(balancer.url)
    assert (200, "2") == get(balancer.url, Cookie="AWSALBTG=nonsense")
    time.sleep(1.1)
    assert (200, "2") == get(balancer.url, Cookie=mine)


def test_whom_a_cookie_sticks_to() -> None:
    """Only with stickiness on, before it expires, to a group that the rule names, and if it is one of ours."""
    blue, green = Pool("blue", {}, 0), Pool("green", {}, 100)
    way, mine = Way([blue, green], sticky=60), {"AWSALBTG": cookie(blue, 1000)}
    assert blue == stuck(way, mine, 999)
    assert stuck(way, mine, 1000) is None
    assert stuck(way, {}, 999) is None
    assert stuck(Way([green], sticky=60), mine, 999) is None
    assert stuck(Way([blue, green]), mine, 999) is None
    assert stuck(way, {"AWSALBTG": "????"}, 999) is None
    assert stuck(way, {"AWSALBTG": cookie(Pool("no number", {}), 1)[:-2] + "=="}, 0) is None


# --- what it tells -------------------------------------------------------------------------------------


def test_every_request_is_told(servers: Servers, table: Table) -> None:
    """Group, status and the seconds of the target; None where the balancer answered itself."""
    told: list[tuple[str, int, float | None]] = []
    table.put("web", i_1="healthy")
    with Balancer(table, servers.address, saw=lambda *one: told.append(one)) as balancer:
        get(f"{balancer.url}/slow?seconds=0.2")
        get(f"{balancer.url}/healthz")
        table.put("web", i_gone="healthy")
        get(balancer.url)
        table.put("web")
        get(balancer.url)
        table.put("web", 0)
        get(balancer.url)
    (slow, quick, *ours) = told
    assert ("web", 200) == slow[:2] == quick[:2]
    assert slow[2] is not None
    assert quick[2] is not None
    assert 0.2 <= slow[2] < 1
    assert quick[2] < 0.2
    assert [("web", 502, None), ("web", 503, None)] == ours


def test_answers_without_a_target(servers: Servers) -> None:
    """A fixed response is the load balancer's own: nobody is asked, and nobody is told."""
    told: list[Any] = []
    lab = Ruled()
    header = {"HttpHeaderConfig": {"HttpHeaderName": "x-stop", "Values": ["yes"]}}
    lab.rule(1, "http-header", header, lab.fixed("429"))
    with Balancer(lab.table, servers.address, saw=lambda *one: told.append(one)) as balancer:
        assert 429 == get(balancer.url, X_Stop="yes")[0]
        assert 1 == balancer.counts.by_status[429]
    assert [] == told


def test_the_world_with_rules_and_a_preview() -> None:
    """Four listeners and rules with the same weights, of which one wants a login and one makes clients stay."""
    lab = Ruled(rules=True, preview=True)
    http, https, static, admin = lab.world.listeners
    (preview,) = lab.world.previews
    blue, green = lab.world.target_groups
    assert [{blue: 100, green: 0}] * 4 == [lab.fake.weights(one) for one in lab.world.listeners]
    assert {blue: 0, green: 100} == lab.fake.weights(preview)
    traffic = lab.world.config()["traffic"]
    assert ([http, https, static, admin], [preview]) == (traffic["listeners"], traffic["preview"])
    assert preview == lab.table(RoutedRequest("/static/a.css", headers={"x-preview": "green"})).rule
    assert static == lab.table(RoutedRequest("/static/a.css")).rule
    assert lab.table(RoutedRequest("/admin/")).answer is None
    secure = table_of(lab.fake, https)
    assert (302, {"Location": "https://id.example.com/authorize"}, "") == secure(RoutedRequest("/admin/")).answer
    way = secure(RoutedRequest("/admin/", cookies={LOGGED_IN: "somebody"}))
    assert (admin, 3600, blue) == (way.rule, way.sticky, way.pools[0].name)
    assert 0 == secure(RoutedRequest("/")).sticky


@pytest.mark.parametrize(("otherwise", "answer"), [("deny", 401), ("allow", None), ("authenticate", 302)])
def test_who_has_not_logged_in(otherwise: str, answer: int | None) -> None:
    """OnUnauthenticatedRequest: turned away, let through, or sent to log in."""
    lab = Ruled(rules=True)
    admin = lab.world.listeners[3]
    login, forward = lab.fake.actions(admin)
    login["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"] = otherwise
    lab.elb.modify_rule(RuleArn=admin, Actions=[login, forward])
    way = table_of(lab.fake, lab.world.listeners[1])(RoutedRequest("/admin/"))
    assert answer == (way.answer[0] if way.answer else None)
