"""The linter of our prose: pages, and every string and docstring of the code that people read. `python -m tests.prose`.

proselint finds what any English text should not have. Beside it stand rules of ours: words that only we use, long
sentences, sentences with many negations, and passives that name who acts.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proselint.checks import __register__
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/**/*.md", "examples/*.md")
CODE = ("bluegreen", "bot", "lab")
#: Where strings are ours; what the lab's services answer is in the words of AWS, GitHub and Slack.
OURS = ("bluegreen/", "bot/", "lab/demo")
SETTINGS = ("action.yml", "bot/manifest.yml", ".github/workflows/*.yml", "bluegreen/workflows/*.yml", "Makefile")
#: proselint's checks that do not fit: terminals and Markdown have straight quotes, `resume` is a command of ours, two
#: values in a sentence look like a word said twice, and it takes `for every` for the archaic `for ever`.
OFF = ("typography.symbols", "typography.diacritical_marks", "lexical_illusions", "archaism")
#: The most words that a sentence may have. Plain-language guides advise 20 to 25 on the average.
LONGEST = 30
#: The most negations that a sentence may have.
NEGATIONS = 2

#: Words of ours that the field does not know, as patterns, each with the word that it has. What is fixed keeps its
#: spelling (outputs, keys, options, what journals hold), in backticks: code is not read here.
WORDS: Mapping[str, str] = {
    r"a bare number": "a number without a unit",
    r"(?:is|are|was|were|what is) awaited": "what someone waits for",
    r"all the same": "anyway",
    r"anew": "again",
    r"as ever": "as usual",
    r"bears?|bore|borne": "has, carries",
    r"(?:a|another|any|each|every|first|fresh|its|last|later|new|next|no|one|the|this|two|\d+) looks?|looks in a row": (
        "observation, poll, read"
    ),
    r"(?:can|could) not be asked|cannot be asked": "did not answer, is unreachable",
    r"desks?": "commands",
    r"doors?": "entry point, or its name",
    r"dr(?:ives?|iven|iving) (?:it |them )?on": "continue",
    r"duty(?!/)|duties": "leadership",
    r"(?:falls?|fell|fallen) due": "was scheduled",
    r"for ever": "forever",
    r"folk|strangers?": "someone else, other clients",
    r"(?:is|are|was|were|be) held against": "counts against, is compared with",
    r"(?:is|are|was|were|be|been) (?:said|told)": "who says it, who learns it",
    r"(?:is|are|was|were) (?-i:none)": "what it is, or what is missing",
    r"ill|illness|sick": "unhealthy, faulty",
    r"in spite of": "despite",
    r"meanwhile": "in the meantime, since then",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"nothing but|nobody but|none but": "only",
    r"nobody drives": "has no driver",
    r"noticing": "observed",
    r"other people's hands?|(?:an|some)(?:other|body|one)(?: else)?'?s hands?": "someone changed …",
    r"pretend\w*": "fake",
    r"put right|puts? (?:\w+ ){1,5}right": "repair",
    r"rooms?": "module",
    r"scenes?": "situation",
    r"seldom": "rarely",
    r"sights?": "observation",
    r"speaks? of|spoke of": "is about, belongs to",
    r"stumbl\w+": "failed attempt",
    r"theat(?:re|er)": "demo page",
    r"vouch\w*": "guarantee, identify",
    r"(?<!under )ways? on": "next step",
    r"whatever|whichever|whoever|whomever": "the subject by its name",
    r"whole": "complete, unchanged, healthy, or how many",
}
_WORDS = re.compile(rf"\b(?:{'|'.join(f'(?P<w{n}>{p})' for n, p in enumerate(WORDS))})\b", re.IGNORECASE)

_NEGATION = re.compile(r"\b(?:not|no|never|nobody|nothing|none|neither|nor|cannot|without)\b|n't\b", re.IGNORECASE)
#: A passive whose agent stands behind it can always be turned: `is read by the driver`, `the driver reads`.
_PASSIVE = re.compile(
    r"\b(?:is|are|was|were|be|been|being) (?:\w+ly )?"
    r"(?:\w+ed|driven|taken|made|given|told|read|held|kept|sent|seen|written|begun|shown|found|known|run|done|put|set)"
    r" by (?:the|a|an|another|AWS|bluegreen|GitHub|Slack|somebody|someone|who|people|others|tests?|it|them|us|you)\b",
    re.IGNORECASE,
)
#: Ends of sentences: full stops, empty lines, items of lists, cells of tables, columns, keys of YAML.
_END = re.compile(
    r"(?<=[.!?])[\")”]?\s+(?=[^a-z\s]|bluegreen\b)|\n\s*\n|\n\s*(?=[-*|#] |\d+\. )|\s\|\s"
    r"|──+|\S {2,}(?=\S)|\n\s*(?=[\w-]+: )"
)
_PROSE = re.compile(r"\b[a-z']{2,} [a-z']+,? [a-z']{2,}\b")


@dataclass(frozen=True)
class Text:
    """A piece of prose and the place where it begins; `lines` keep their numbers."""

    path: str
    line: int
    words: str


@dataclass(frozen=True)
class Finding:
    """What a rule has against a place."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        """As compilers print it."""
        return f"{self.path}:{self.line}: {self.message}"


def main() -> int:
    """Everything that any rule finds, one a line."""
    found = sorted({(one.path, one.line, one.message) for one in findings()})
    for one in found:
        print(Finding(*one))
    return bool(found)


def findings() -> Iterator[Finding]:
    """Of all pages, settings and code."""
    everything = [*pages(), *settings(), *code()]
    for text in everything:
        yield from ours(text)
    yield from proselint_finds(everything)


# --- what is read ------------------------------------------------------------------------------------------


def pages() -> Iterator[Text]:
    """Each page, its code blanked out."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            yield Text(str(path.relative_to(ROOT)), 1, prose_of(path.read_text()))


def settings() -> Iterator[Text]:
    """The descriptions in files of settings."""
    for path in (path for pattern in SETTINGS for path in sorted(ROOT.glob(pattern))):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            said = re.match(r"\s*(?:description|usage_hint): *(.+)|[a-z]+:.*## (.+)", line)
            if said:
                yield Text(str(path.relative_to(ROOT)), number, _without_code((said[1] or said[2]).strip("\"'")))


def code() -> Iterator[Text]:
    """What the code says to people: its strings, and the docstrings of what is public."""
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from texts_in(path.read_text(), str(path.relative_to(ROOT)))


def texts_in(source: str, path: str) -> Iterator[Text]:
    """The prose in one module."""
    nodes = list(ast.walk(ast.parse(source)))
    yield from _docstrings(nodes, path)
    for node in _strings(nodes) if path.startswith(OURS) else ():
        words = _said(node)
        if _PROSE.search(words) and "(?" not in words:  # that would be a pattern
            yield Text(path, node.lineno, _without_code(words))


def prose_of(page: str) -> str:
    """A page of Markdown without code, addresses and marks; every line stays where it is."""
    page = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), page, flags=re.MULTILINE | re.DOTALL)
    page = re.sub(r"<!--.*?-->", lambda block: "\n" * block[0].count("\n"), page, flags=re.DOTALL)
    page = re.sub(r"\]\([^)]*\)", "]", page)
    return _without_code(page)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`]*`", lambda code: "`X`" + "\n" * code[0].count("\n"), text).replace("*", "")


def _docstrings(nodes: list[ast.AST], path: str) -> Iterator[Text]:
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            said = ast.get_docstring(node, clean=False)
            if said and not getattr(node, "name", "").startswith("_"):
                yield Text(path, node.body[0].lineno, _without_code(said))


def _strings(nodes: list[ast.AST]) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Every string that is not a docstring; a formatted one as one."""
    skipped: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield node


def _said(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)


# --- our rules ---------------------------------------------------------------------------------------------


def ours(text: Text) -> Iterator[Finding]:
    """What our own rules have against a text."""
    for found in _WORDS.finditer(text.words):
        word = list(WORDS.values())[int(str(found.lastgroup).removeprefix("w"))]
        yield _finding(text, found.start(), f"`{found[0]}` is a word of ours: {word}")
    for start, sentence in sentences(text.words):
        for message in faults(sentence):
            yield _finding(text, start, message)


def faults(sentence: str) -> Iterator[str]:
    """What makes a sentence hard to read."""
    begins = " ".join(sentence.split())[:60]
    if (words := len(sentence.split())) > LONGEST:
        yield f"{words} words, {LONGEST} at most: {begins}"
    if (negations := len(_NEGATION.findall(sentence))) > NEGATIONS:
        yield f"{negations} negations, {NEGATIONS} at most: {begins}"
    for found in _PASSIVE.finditer(sentence):
        yield f"`{found[0]}`: say it in the active voice"


def sentences(words: str) -> Iterator[tuple[int, str]]:
    """Each sentence, and where it begins; a heading, an item of a list and a cell of a table are one each."""
    start = 0
    for end in [*_END.finditer(words), re.search(r"\Z", words)]:
        assert end is not None
        if words[start : end.start()].strip(" |\n"):
            yield start, words[start : end.start()]
        start = end.end()


def _finding(text: Text, at: int, message: str) -> Finding:
    return Finding(text.path, text.line + text.words.count("\n", 0, at), message)


# --- proselint ---------------------------------------------------------------------------------------------


def proselint_finds(texts: list[Text]) -> Iterator[Finding]:
    """What proselint has against the texts, read as one: it would compile its patterns for every other file."""
    if not CheckRegistry().checks:
        CheckRegistry().register_many(__register__)
    places = [(text.path, text.line + i) for text in texts for i, _ in enumerate(f"{text.words}\n\n".split("\n")[:-1])]
    document = LintFile("prose", "".join(f"{text.words}\n\n" for text in texts))
    enabled = {**dict.fromkeys(OFF, False), **{name: on for name, on in DEFAULT["checks"].items() if name not in OFF}}
    for result in document.lint({"max_errors": 1000, "checks": enabled}):
        path, line = places[result.pos[0] - 1]
        yield Finding(path, line, f"{result.check_result.message} [{result.check_result.check_path}]")


if __name__ == "__main__":
    sys.exit(main())
