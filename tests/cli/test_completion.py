"""`spectra --install-completion`, in a home folder made for it, and the shells that then know the names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spectra_cli.statistics.registry import DEFINITIONS

ASK_BASH = """
. ~/.bashrc
COMP_WORDS=(spectra show --statistic rankme)
COMP_CWORD=3
$(complete -p spectra | sed -E 's/.*-F ([^ ]+).*/\\1/') spectra
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def at_home(tmp_path):
    """Run words of a shell in which HOME is an empty folder."""
    commands = tmp_path / "bin"
    commands.mkdir()
    spectra = commands / "spectra"
    spectra.write_text(f'#!/bin/sh\nexec {sys.executable} -m spectra_cli "$@"\n')
    spectra.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"

    def run(shell: str, words: str) -> str:
        environment = os.environ | {"HOME": str(home), "PATH": path}
        # a second command keeps the shell alive, whose name is asked for
        done = subprocess.run(
            [shell, "-c", f"{words}\ntrue"],
            env=environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    return run


def test_bash_knows_the_names_of_statistics(at_home):
    assert "bash completion installed" in at_home("bash", "spectra --install-completion")
    assert at_home("bash", ASK_BASH).split() == ["rankme_cov", "rankme_sv"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_what_the_scripts_of_other_shells_ask_is_answered(at_home, shell):
    """Those shells need not be here: their scripts call the command like this."""
    asked = f"_SPECTRA_COMPLETE=complete_{shell} _TYPER_COMPLETE_FISH_ACTION=get-args"
    told = at_home("sh", f"{asked} _TYPER_COMPLETE_ARGS='spectra show --statistic rankme' spectra")
    assert [name for name in DEFINITIONS if name in told] == ["rankme_cov", "rankme_sv"]
