import signal
import sys
import weakref

import pytest

from spectra_cli.cli import interrupts


@pytest.fixture
def own_handler(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(interrupts, "_asked", type(interrupts._asked)())
    yield
    signal.signal(signal.SIGINT, before)


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
