"""What looks like a secret is hidden; what does not stays readable."""

from __future__ import annotations

import random
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator

import pytest

from bluegreen import wording
from bluegreen.action import summary
from bluegreen.aws.commands import CUT, last_lines, whole_lines
from bluegreen.events import Outcome
from bluegreen.masking import mask, secrets_of
from bot.messages import card
from tests.worlds import bare


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key AKIAABCDEFGHIJKLMNOP here", "key *** here"),
        ("ghp_" + "a" * 36, "***"),
        ("xoxb-1234567890-abcdef", "***"),
        ("git clone https://ann:hunter22@example.com/x", "git clone https://***@example.com/x"),
        ("Authorization: Basic abc def", "Authorization: ***"),
        ("bearer abcdefgh.ijkl", "bearer ***"),
        ("DB_PASSWORD=hunter2 make", "DB_PASSWORD=*** make"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "***", "n": 1}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nok", "***\nok"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
        ("begun\nMIIEAAAABBBBCCCCDDDDEEEE\nAb3=\n-----END PRIVATE KEY-----\nok", "begun\n***\nok"),
        ("remote: MIIEAAAABBBBCCCCDDDDEEEE\nremote: Ab3=\nremote: -----END PRIVATE KEY-----", "***"),
        ("DB_PASSWORD='correct horse' make", "DB_PASSWORD='***' make"),
        ("DB_PASSWORD=ab,cd;ef make", "DB_PASSWORD=*** make"),
        ('PASSWORD="never ends', "PASSWORD=***"),
        ("password: correct horse battery", "password: ***"),
        ('{\\"password\\":\\"two words\\",\\"n\\":1}', '{\\"password\\":\\"***\\",\\"n\\":1}'),
        ('secrets: ["one two", "three"] read', "secrets: *** read"),
        ("signing-key: |\n  one two\nnext", "signing-key: ***\nnext"),
        ("sig=abc%2Fdef", "sig=***"),
        ("Uid=app;Pwd=abc", "Uid=app;Pwd=***"),
        ("PWD=/srv/app", "PWD=/srv/app"),
        ("mysql --password hunter2 -h db", "mysql --password *** -h db"),
        ("ENV NPM_TOKEN abc", "ENV NPM_TOKEN ***"),
        ("<password>two words</password>", "<password>***</password>"),
        ("curl -u ann:hunter2 https://x", "curl -u *** https://x"),
        ("IDENTIFIED BY 'two words';", "IDENTIFIED BY '***';"),
        ("machine x login ann password hunter2", "machine x login ann password ***"),
        ("docker login -u ann -p hunter2", "docker login -u ann -p ***"),
        ("redis://:pw@cache:6379/0", "redis://***@cache:6379/0"),
        ("postgres://app:p@ss/w@db:5432/x", "postgres://***@db:5432/x"),
        ("https://0123456789abcdef0@sentry.example.com/1", "https://***@sentry.example.com/1"),
        ("x-api-key: abc def", "x-api-key: ***"),
        ('{"X-Api-Key": "abc def", "n": 1}', '{"X-Api-Key": "***", "n": 1}'),
        ("curl -H 'X-Vault-Token: abc' https://x", "curl -H 'X-Vault-Token: ***"),
        ("Basic YW5uOmh1bnRlcg==", "Basic ***"),
        ("got eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.c2lnbmVk back", "got *** back"),
        ("xapp-1-A012-345-abcdef", "***"),
        ("glpat-abcdefghij0123456789", "***"),
        ("https://hooks.slack.com/services/T0/B0/abc", "https://hooks.slack.com/***"),
        ("found k3Qz8vT1mX9bLr5Wc2Ny7Hd4Fs6Gj0PaUe3Ro9Ti.", "found ***."),
        (
            "integrity sha512-k3Qz8vT1mX9bLr5Wc2Ny7Hd4Fs6Gj0PaUe3Ro9Ti==",
            "integrity sha512-k3Qz8vT1mX9bLr5Wc2Ny7Hd4Fs6Gj0PaUe3Ro9Ti==",
        ),
        ("commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904", "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
        (
            "/home/runner/work/Acme/Web2/src/main/java/com/acme/Home",
            "/home/runner/work/Acme/Web2/src/main/java/com/acme/Home",
        ),
        (
            "org.acme.AbstractSingletonProxyFactoryBean2Configuration",
            "org.acme.AbstractSingletonProxyFactoryBean2Configuration",
        ),
        ("password authentication failed for user ann", "password authentication failed for user ann"),
        ("basic authentication is off", "basic authentication is off"),
        ("ssh://git@github.com/acme/web", "ssh://git@github.com/acme/web"),
        ("fatal: could not read from remote repository", "fatal: could not read from remote repository"),
        ("https://example.com:8080/path", "https://example.com:8080/path"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    """One line a rule."""
    assert mask(text) == shown


DICE = random.Random(19)


def encoded(size: int) -> str:
    """So many characters as a generator of keys makes them."""
    return b64encode(DICE.randbytes(size)).decode()[:size]


def token(size: int) -> str:
    """The same, as tokens are written."""
    return urlsafe_b64encode(DICE.randbytes(size)).decode().replace("=", "")[:size]


def pem(title: str, lines: int, before: str = "", head: str = "") -> str:
    """A private key: encoded lines, of which the last is short."""
    body = [encoded(64) for _ in range(lines)] + [encoded(18)]
    return "\n".join(f"{before}{line}" for line in [f"-----BEGIN {title}-----{head}", *body, f"-----END {title}-----"])


def jwt() -> str:
    """A signed token."""
    head, body = (urlsafe_b64encode(text).decode().rstrip("=") for text in (b'{"alg":"RS256"}', b'{"sub":"ann","n":1}'))
    return f"{head}.{body}.{token(43)}"


def planted() -> Iterator[tuple[str, str, str]]:
    """Kind, what is printed, and of it what nobody may see: 40 made-up secrets of 15 kinds."""
    for key in (pem("RSA PRIVATE KEY", 5), pem("PRIVATE KEY", 4), pem("EC PRIVATE KEY", 2)):
        yield "key", key, key
    yield "key", (key := pem("OPENSSH PRIVATE KEY", 3, before="remote: ")), key.replace("remote: ", "")
    padded = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2"
    yield "key", (key := pem("OPENSSH PRIVATE KEY", 1, head=f"\n{padded}")), key
    yield "key", (key := pem("RSA PRIVATE KEY", 3, head="\nProc-Type: 4,ENCRYPTED\n")), key
    yield "key", f'{{"key": "{(key := pem("PRIVATE KEY", 2).replace(chr(10), chr(92) + "n"))}"}}', key
    for name in ("AWS_SECRET_ACCESS_KEY=", "aws_secret_access_key = ", '"SecretAccessKey": "', ""):
        yield "AWS", f"{name}{(key := encoded(40))}", key
    for made in ("AKIA" + "QRSTUVWX23456789"[:16], "ASIA" + "ZYXWVUTS98765432"[:16]):
        yield "AWS id", f"using {made} now", made
    for made in (f"ghp_{token(36).replace('-', 'x')}", f"github_pat_{token(60).replace('-', 'x')}"):
        yield "GitHub", f"remote: {made}: denied", made.removeprefix("github_pat_")
    for made in (f"xoxb-{token(30)}", f"xapp-1-{token(30)}", f"xoxe.xoxp-1-{token(30)}"):
        yield "Slack", f"with {made}", made
    for made in (f"glpat-{token(20)}", f"glrt-{token(20)}"):
        yield "GitLab", f"with {made}", made
    for made in (f"sk_live_{token(24)}".replace("-", "x"), f"npm_{token(36)}".replace("-", "x"), f"AIza{token(35)}"):
        yield "makers", f"with {made}", made
    for text in ("got {}", "Cookie: session={}; path=/", "?id_token={}&x=1"):
        yield "JWT", text.format(made := jwt()), made
    for scheme in ("redis://:{}@cache:6379", "postgres://app:{}@db/x", "https://ann:{}/x@git.example.com/x"):
        yield "URL", f"open {scheme.format(made := token(12))} failed", made
    for header in ("x-api-key: {}", "Authorization: Bearer {}", "-H 'X-Vault-Token: {}' -v", "'Private-Token': '{}'"):
        yield "header", header.format(made := token(20)), made
    for text in ("DB_PASSWORD='{}' make", 'password = "{}"', '{{"passwd": "{}", "n": 1}}', "passphrase: {}"):
        yield "quoted", text.format(made := "umbrella violin cactus harbor"), made
    yield "JSON in JSON", f'{{\\"client_secret\\":\\"{(made := token(20))} two\\"}}', made
    yield "flag", f"mysql --password {(made := token(14))} -h db", made
    yield "element", f"<apiKey>{(made := token(14))} more</apiKey>", made
    yield "webhook", f"POST https://hooks.slack.com/services/{(made := 'T012/B345/' + token(24))}", made


PLANTED = list(planted())


def test_there_are_40_secrets_of_15_kinds() -> None:
    """Or the next test shows less than it says."""
    assert len(PLANTED) >= 40
    assert len({kind for kind, _, _ in PLANTED}) >= 15


def leaks(shown: str, secret: str) -> list[str]:
    """Six characters of the secret in a row that are shown."""
    lines = [
        line for line in secret.replace("\\n", "\n").split("\n") if "-----" not in line and "Proc-Type" not in line
    ]
    return [
        line[n : n + 6] for line in lines for n in range(max(len(line) - 5, 1)) if line and line[n : n + 6] in shown
    ]


@pytest.mark.parametrize(("kind", "text", "secret"), PLANTED)
def test_of_a_secret_that_is_cut_anywhere_nothing_is_shown(kind: str, text: str, secret: str) -> None:
    """Cut at its beginning, at its end and at both, by characters, by lines, and by the agent's own word for it."""
    printed = f"begun\n{text}\nfailed: exit 2"
    cuts = range(len(printed) + 1)
    seen = [printed, *(f"{CUT}\n{printed[n:]}" for n in cuts if printed[n - 1 : n] == "\n")]
    seen += [whole_lines(printed[n:], len(printed[n:].encode())) for n in cuts]
    seen += [whole_lines(f"{CUT}\n{printed[:n]}", n) for n in cuts]
    seen += [whole_lines(f"{printed[:n]}\n---Output truncated---", 2500) for n in cuts]
    lines = printed.split("\n")
    seen += ["\n".join([CUT, *lines[i:j]]) for i in range(len(lines)) for j in range(i + 2, len(lines))]
    for one in seen:
        assert leaks(last_lines(mask(one), 20), secret) == [], one
    assert mask(mask(printed)) == mask(printed)
    assert mask(printed).startswith("begun\n")
    assert mask(printed).endswith("failed: exit 2")


def test_known_secrets_are_hidden_however_they_are_written() -> None:
    """Their lines, in JSON, in a URL, and encoded."""
    secret = 'first "line"/\ns3cond l1ne'
    known = secrets_of({"DEPLOY_TOKEN": secret})
    for text in (
        secret,
        "s3cond l1ne",
        'first \\"line\\"/\\ns3cond l1ne',
        "first%20%22line%22%2F%0As3cond%20l1ne",
    ):
        assert mask(f"<{text}>", known) == "<***>"
    assert mask(b64encode(secret.encode()).decode(), known) == "***"


@pytest.mark.parametrize(
    "word", ["production", "eu-central-1", "web/production", "DISABLED", "short1", "3600", "Bearer"]
)
def test_a_common_word_is_no_secret(word: str) -> None:
    """A variable that is only named like one would blot out whatever says the word."""
    assert secrets_of({"TOKEN_OF_STAGE": word}) == ()


@pytest.mark.parametrize("phrase", ["correct-horse-battery", "hunter2222", "trustnooneever", "xKcdPassWordy"])
def test_a_phrase_is_one(phrase: str) -> None:
    """Nobody says it but who knows it."""
    assert secrets_of({"DB_PASSWORD": phrase}) == (phrase,)


def test_values_of_the_environment_are_known() -> None:
    """By the names of their variables; short values are words."""
    secrets = secrets_of({"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "MY_TOKEN": "short", "HOME": "/home/ann-home"})
    assert secrets == ("wJalrXUtnFEMI",)
    assert mask("echo wJalrXUtnFEMI", secrets) == "echo ***"


def test_a_secret_that_a_build_prints_is_not_in_the_journal() -> None:
    """Neither in an event nor in the last one."""
    o = bare()
    o.machines.fails("git fetch", output="remote: https://ann:hunter2222@git.example.com refused")
    release = o.start()
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    assert "refused" in done.message
    assert all("hunter2222" not in str(event.facts) for event in o.engine().follow(release.id))


@pytest.mark.parametrize("first", [0, 16, 32])
def test_what_is_planted_in_a_build_s_output_reaches_nobody(first: int) -> None:
    """Neither journal, nor the lines of the log, nor the card, nor the Action's page; also where SSM cut it."""
    some = PLANTED[first : first + 16]
    text = "\n".join(text for _, text, _ in some)
    o = bare()
    o.machines.fails("git fetch", output=f"{text}\n{'x' * (24_000 - len(text) // 2)}\n{text}" if first else text)
    release = o.start()
    done = o.drive(release.id)
    assert done is not None
    assert done.outcome is Outcome.ROLLED_BACK
    events = list(o.engine().follow(release.id))
    log = [f"{event.facts}\n{wording.sentence(event, done)}" for event in events]
    shown = "\n".join([*log, str(card(done, 0.0)), summary.page(events), summary.comment(done)])
    assert "failed" in shown
    assert [leak for _, _, secret in some for leak in leaks(shown, secret)] == []
