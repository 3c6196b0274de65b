"""What goes to stderr is told as it is."""

from __future__ import annotations

import pytest

from spectra_cli.render.console import say


@pytest.mark.parametrize("markup", ["[bold]x[/bold]", "[/]", ":smile:", "[link=http://a]b[/link]"])
def test_markup_in_a_message_is_text(capsys, markup):
    say(markup)
    assert capsys.readouterr() == ("", f"{markup}\n")


def test_messages_go_to_stderr_and_are_not_wrapped(capsys):
    say("word " * 60)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\x1b" not in err
