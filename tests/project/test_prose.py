"""The linter of prose: what it reads, and what each rule finds."""

from __future__ import annotations

import pytest

from tests import prose
from tests.prose import Text, faults, ours, prose_of, proselint_finds, sentences, settings, texts_in


def test_the_code_of_a_page_is_not_prose_and_its_lines_keep_their_numbers() -> None:
    """Blocks, spans, comments and addresses are left out."""
    page = "A `door`.\n\n```sh\na door\n```\n<!-- door\n-->\n[here](door.md)\n**Bold** end.\n"
    assert prose_of(page) == "A `X`.\n\n\n\n\n\n\n[here]\nBold end.\n"


def test_strings_and_public_docstrings_are_prose_and_names_are_not() -> None:
    """A formatted string is one text; private docstrings, keys and short words are left out."""
    source = '''"""The module says."""
KEY = "blue targets"
def told(x):
    """What a caller reads."""
    return {"a key": f"green has {x} instances of four", "b": "one two", "c": "this is what somebody reads"}
def _inner():
    """Nobody reads this outside."""
'''
    assert list(texts_in(source, "bot/a.py")) == [
        Text("bot/a.py", 1, "The module says."),
        Text("bot/a.py", 4, "What a caller reads."),
        Text("bot/a.py", 5, "green has X instances of four"),
        Text("bot/a.py", 5, "this is what somebody reads"),
    ]


def test_what_is_not_ours_has_its_own_words() -> None:
    """The lab's services answer as AWS, Slack and GitHub do: only the lab's docstrings are ours."""
    source = '"""The lab."""\nSAID = "this is what AWS says"\n'
    assert list(texts_in(source, "lab/aws/a.py")) == [Text("lab/aws/a.py", 1, "The lab.")]


def test_settings_describe_themselves() -> None:
    """Inputs of the Action and of workflows, commands of the manifest, targets of make."""
    files = {text.path for text in settings()}
    assert {"action.yml", "bot/manifest.yml", "Makefile", "bluegreen/workflows/release.yml"} <= files


def test_a_word_of_ours_is_found_where_it_stands_with_the_word_of_the_field() -> None:
    """Also at the beginning of a sentence, and never inside another word."""
    found = list(ours(Text("a.md", 7, "Indoors.\nDoors are\nopen.")))
    assert [(one.line, one.message) for one in found] == [(8, "`Doors` is a word of ours: entry point, or its name")]


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("word " * (prose.LONGEST + 1), f"{prose.LONGEST + 1} words"),
        ("What is not known to nobody is never read.", "3 negations"),
        ("The journal is read by the driver.", "`is read by the`"),
        ("It was quickly changed by someone.", "`was quickly changed by someone`"),
    ],
)
def test_a_sentence_that_is_hard_to_read_is_found(sentence: str, said: str) -> None:
    """Too long, too many negations, a passive that names who acts."""
    assert [message.startswith(said) for message in faults(sentence)] == [True]


@pytest.mark.parametrize(
    "sentence",
    [
        "word " * prose.LONGEST,
        "It does not change what nobody reads.",
        "It is found by its name.",
        "It is read by hand.",
    ],
)
def test_a_plain_sentence_passes(sentence: str) -> None:
    """Up to each limit; by what something is done may be said."""
    assert list(faults(sentence)) == []


def test_items_and_cells_are_sentences_of_their_own() -> None:
    """A list without full stops is not one long sentence."""
    page = "One two.\n\n# Three\n\n- four\n- five, e.g. six\n\n| seven | eight |\n"
    assert [" ".join(words.split()) for _, words in sentences(page)] == [
        "One two.", "# Three", "- four", "- five, e.g. six", "| seven", "eight"
    ]  # fmt: skip


def test_proselint_reads_all_texts_at_once_and_says_where() -> None:
    """Each finding has the file and line of its own text."""
    texts = [Text("a.md", 1, "Fine.\n\nFine."), Text("b.py", 40, "one line\nit goes without saying")]
    assert {(one.path, one.line) for one in proselint_finds(texts)} == {("b.py", 41)}
