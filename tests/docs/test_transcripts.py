"""The outputs recorded in the tutorial are what the commands beside them print, but for machine rounding."""

import re
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

from docs.generate import (
    ANSWER_COMMAND,
    CONSOLE_BLOCK,
    README,
    TRANSCRIPTS,
    first_finding,
    printed_by,
    with_true_outputs,
)
from docs.sections import section_of
from spectra_cli.cli.app import app

NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")


# No two runs estimate time alike, and a process that has run tests holds more than a new one.
ESTIMATE = re.compile(
    r"About .*? not\s+counted"
    r"|(?<=Estimated peak memory) .*? of\s+a\s+budget of .*?: process\s+[\d.]+\s+[MG]iB",
    re.DOTALL,
)


def words(output):
    """What is said, however wide its numbers make the columns: digits and white space do not count."""
    output = ESTIMATE.sub("", output)
    return re.sub(r"\s+", " ", re.sub(r"─+", "─", re.sub(r"\d[\d.,]*", "#", output)))


def numbers(output):
    found = NUMBER.findall(ESTIMATE.sub("", output))
    return np.array([float(number.replace(",", "")) for number in found])


def blocks(page):
    return CONSOLE_BLOCK.findall(page)


def printed_in_this_process(command, folder):
    """What a command line prints; `spectra` need not be started anew for each, which is half of the time."""
    line, piped, number = command.partition(" | head -n ")
    name, *arguments = shlex.split(line)
    if name != "spectra":
        return printed_by(command, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    lines = done.stdout.replace(str(folder), "~").splitlines(keepends=True)
    return "".join(lines[: int(number)] if piped else lines)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A working directory in which `spectra demo` has run."""
    folder = tmp_path_factory.mktemp("transcripts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # what is printed names the paths as they were given
        done = CliRunner().invoke(app, ["demo", "--output", "spectra-demo"], catch_exceptions=False)
    assert done.exit_code == 0
    return folder


@pytest.fixture(scope="module")
def printed(demo):
    """Each page as it is, and with what its commands print over the demo of its first lines."""
    pages = {page: page.read_text() for page in TRANSCRIPTS}
    return [(text, with_true_outputs(text, demo, printed_in_this_process)) for text in pages.values()]


@pytest.mark.slow
def test_recorded_outputs_say_what_is_printed(printed):
    for recorded, true in printed:
        for shown, now in zip(blocks(recorded), blocks(true), strict=True):
            assert words(shown) == words(now), "run `make docs` and read the change"


@pytest.mark.slow
def test_recorded_numbers_are_those_printed_but_for_the_processor(printed):
    """Other processors round otherwise, and 300 steps of training carry that on: most numbers stay."""
    for recorded, true in printed:
        for shown, now in zip(blocks(recorded), blocks(true), strict=True):
            before, after = numbers(shown), numbers(now)
            assert before.size == after.size
            if before.size:
                apart = np.abs(after - before) / np.maximum(np.maximum(np.abs(before), np.abs(after)), 1e-9)
                assert np.median(apart) < 0.01


@pytest.mark.slow
def test_the_answer_in_the_readme_is_what_compare_says_first(demo):
    now = first_finding(printed_in_this_process(ANSWER_COMMAND, demo))
    assert words(section_of(README.read_text(), "answer")) == words(now), "run `make docs`"


def test_the_first_finding_is_found_among_tables():
    told = "Aligned points\n1  2\n\nb against a\n- here: more\n  by 2\n- there: less\n"
    assert first_finding(told) == "```text\nb against a\n- here: more\n  by 2\n```\n"
    with pytest.raises(ValueError, match="without a finding"):
        first_finding("nothing differs\n")


def test_a_word_that_changed_is_seen():
    assert words("tail  1.02±0.03\n──── 5") == words("tail 11.021±0.3\n───── 55")
    assert words("tail 1.02") != words("head 1.02")
    assert len({words(text) for text in ("a 1", "a 1 2", "a 1 *")}) == 3
    assert numbers("α 1.5±0.25 of 2,048, v2, step300, 3 %").tolist() == [1.5, 0.25, 2048.0, 3.0]
