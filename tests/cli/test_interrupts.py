import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from spectra_cli.cli import interrupts
from spectra_cli.core.process.shield import Shielded


@pytest.fixture
def own_handler(monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(interrupts, "_first", None)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_check(own_handler):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.listen()
    interrupts.check()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()


class _Thing:
    """Something to refer to weakly."""


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_an_interrupt_in_a_callback_is_kept_in_silence_and_other_errors_are_told(raised, own_handler, capsys):
    def callback(_reference: object) -> None:
        if raised is KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
        raise raised

    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.listen()
    thing = _Thing()
    reference = weakref.ref(thing, callback)
    del thing  # the callback's exception has nobody to go to
    assert reference() is None
    assert ("Traceback" in capsys.readouterr().err) == (raised is ValueError)
    if raised is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_a_process_started_to_ignore_interrupts_goes_on_ignoring_them(own_handler):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.listen()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.raise_signal(signal.SIGINT)
    interrupts.check()


# What main() does around a command, here one that writes archives without end; fork, since importing is slow.
_MANY = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.builders.seeded import seeded_checkpoint
from spectra_cli.archive.writer import write_archive
from spectra_cli.__main__ import main
from spectra_cli.cli import app
series = [seeded_checkpoint(step) for step in range(3)]
folder, moments = Path(sys.argv[1]), random.Random(int(sys.argv[4]))
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in range(int(sys.argv[3])):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        def run():
            os.write(write, b"!")
            while True:
                write_archive(folder / "a.spectra.h5", series)
        app._run = run
        try:
            main()
        finally:
            os._exit(sys.exc_info()[1].code if isinstance(sys.exc_info()[1], SystemExit) else 1)
    os.read(read, 1)
    time.sleep(moments.uniform(0, 0.06))
    kinds = [signal.SIGTERM] if number % 4 == 0 else [signal.SIGINT] * (1 + number % 3)
    for kind in kinds:
        os.kill(child, kind)
        time.sleep(moments.choice([0, 0.001, 0.01]))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(kinds[0].name, code, flush=True)
    os.close(read), os.close(write)
"""


def test_interrupted_at_any_moment_of_writing_nothing_is_traced_and_nothing_half_is_left(tmp_path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _MANY, tmp_path, root, "40", "0"],
        timeout=300,  # takes some five seconds; a signal that waits for another takes for ever
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = (tmp_path / "told").read_text()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    ends = done.stdout.split("\n")[:-1]
    assert len(ends) == 40
    assert set(ends) == {"SIGTERM 143", "SIGINT 130"}
    assert told.count("spectra: ended by SIGTERM\n") == 10
    assert told.count("spectra: interrupted\n") == 30
    assert {path.name for path in tmp_path.iterdir()} <= {"told", "a.spectra.h5"}


# The command, with a signal at the moment at which Python looks for one of its modules.
_WHILE_IMPORTING = """
import os, signal, sys
from spectra_cli.__main__ import main
number, module = int(sys.argv[1]), sys.argv[2]
class Press:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Press)
sys.argv[1:] = ["--help"]
main()
"""


@pytest.mark.parametrize(
    "module", ["spectra_cli.cli.app", "typer", "spectra_cli.render.text.neutral", "spectra_cli.core.errors"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_imports_ends_as_anywhere_else(number, module):
    done = subprocess.run(
        [sys.executable, "-c", _WHILE_IMPORTING, str(int(number)), module],
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
    assert done.stderr == f"\nspectra: {'interrupted' if number == signal.SIGINT else 'ended by SIGTERM'}\n"


def test_a_signal_inside_a_shield_waits_for_its_end_and_two_in_a_second_are_one(own_handler):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.listen()
    reached = []
    with pytest.raises(KeyboardInterrupt), Shielded():  # noqa: PT012 - what is inside is what is tested
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with Shielded():
            reached.append("inner")
        reached.append("end")
    assert reached == ["inner", "end"]
    signal.raise_signal(signal.SIGINT)
    assert interrupts.asked()


def test_a_shield_lets_go_where_it_is_asked(own_handler):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.listen()
    with pytest.raises(KeyboardInterrupt), Shielded() as shield:  # noqa: PT012 - as above
        shield.check()
        signal.raise_signal(signal.SIGINT)
        shield.check()
        pytest.fail("the interrupt was lost")


# A second signal while the handler is at its k-th line, for every k: nothing that it holds may be waited for.
_WITHIN = """
import signal, sys, threading
from spectra_cli.cli import interrupts
interrupts.listen()
def again(frame, event, _):
    global lines
    if event == "line":
        lines += 1
        if lines == moment:
            signal.raise_signal(signal.SIGINT)
    return again
moment = 1
while True:
    interrupts._first, lines = None, 0
    try:
        sys.settrace(again)
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    assert interrupts.asked()
    if lines < moment:
        break
    moment += 1
print(moment)
"""


def test_a_second_signal_inside_the_handler_never_waits_for_the_first():
    done = subprocess.run(
        [sys.executable, "-c", _WITHIN], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 3
