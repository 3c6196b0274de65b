"""What goes to stderr: notices, and the progress of long work. Results go to stdout, in one of the forms.

Progress is a live bar on a terminal, and lines at intervals elsewhere.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from spectra_cli.core.words.numbers import duration
from spectra_cli.render.text.neutral import for_terminal
from spectra_cli.render.text.wrapping import spans, width

# Cells of the bar. Done and left differ by their signs, since not every terminal has colours.
_BAR = 24
_SIGNS, _ASCII_SIGNS = ("█", "░"), ("#", ".")
_GAP = "  "
# Off a terminal: how long a stage lasts before it is told, and how often what is under way is told again.
_STAGE_SECONDS, _AGAIN_SECONDS, _TICK_SECONDS = 2.0, 30.0, 0.5
# Share of all that must be done before a pace is one.
_LEAST_SHARE = 0.01

Report = Callable[[str, int, int, str, int, int], None]
Clock = Callable[[], float]


def messages() -> Console:
    """The console for progress and notices; `say` is what prints on it."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(*texts: str) -> None:
    """Print notices on stderr: a line each, which the terminal wraps."""
    for text in texts:
        messages().print(Text(for_terminal(text)))


class Standing:
    """Where the work is, and how long the rest takes at the pace so far."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Nothing is under way yet; `clock` gives seconds."""
        self._clock = clock
        self._began = clock()
        self.checkpoint = self.activity = ""
        self.number = self.count = 0
        self._position = self._first = 0.0
        self._since = self._began

    def move(self, checkpoint: str, number: int, count: int, activity: str, done: int, total: int) -> None:
        """Take what a `Report` hears."""
        position = max(number - 1, 0) + min(done / max(total, 1), 1.0)
        if count != self.count or position < self._position:  # other work, or the same anew
            self._first, self._since = float(max(number - 1, 0)), self._clock()
        self.checkpoint, self.number, self.count, self.activity = checkpoint, number, count, activity
        self._position = position

    @property
    def name(self) -> str:
        """The checkpoint and its place; empty before the first one."""
        return f"{self.checkpoint} ({self.number}/{self.count})" if self.count else ""

    @property
    def share(self) -> float:
        """Of all that is to be done."""
        return self._position / self.count if self.count else 0.0

    @property
    def elapsed(self) -> int:
        """Whole seconds since the beginning."""
        return int(self._clock() - self._began)

    @property
    def left(self) -> str:
        """How long the rest takes, in words: never nothing; empty while there is no telling."""
        made, rest = self._position - self._first, self.count - self._position
        if made < _LEAST_SHARE * self.count or not self.count:
            return ""
        seconds = (self._clock() - self._since) * rest / made
        return f"about {duration(max(math.ceil(seconds), 1))} left"


@contextmanager
def scan_progress(*, quiet: bool) -> Iterator[Report]:
    """A callback taking (checkpoint, number, count, activity, done, total); before the first checkpoint, with
    a count of 0, only the activity counts.
    """
    console = messages()
    if quiet:
        yield lambda *_: None
    elif console.is_terminal and not console.is_dumb_terminal:
        bar = Bar(Standing())
        with Live(bar, console=console, transient=True):
            yield bar.standing.move
    else:
        with _told(Lines(Standing(), time.monotonic)) as lines:
            yield lines.report


class Bar:
    """What a terminal shows of a standing, wrapped between its parts where they do not fit into one line."""

    def __init__(self, standing: Standing) -> None:
        """What it shows changes with the standing."""
        self.standing = standing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines, as rich asks for them."""
        signs = _ASCII_SIGNS if options.ascii_only else _SIGNS
        # what stands in the last cell makes some terminals wrap
        for text in self.lines(max(options.max_width - 1, 1), signs):
            yield Text(text, no_wrap=True)

    def lines(self, room: int, signs: tuple[str, str] = _SIGNS) -> list[str]:
        """The parts as lines of at most `room` cells."""
        now = self.standing
        filled = min(int(_BAR * now.share), _BAR - 1)
        bar = signs[0] * filled + signs[1] * (_BAR - filled) if now.count else ""
        parts = [for_terminal(now.name), bar, for_terminal(now.activity), duration(now.elapsed), now.left]
        lines = [""]
        for part in filter(None, parts):
            pieces = [part[start:end] for start, end in spans(part, room, 0)]
            joined = f"{lines[-1]}{_GAP}{pieces[0]}" if lines[-1] else pieces[0]
            if width(joined) <= room:
                lines[-1] = joined
                lines += pieces[1:]
            else:
                lines += pieces
        return lines


class Lines:
    """What a log gets: each checkpoint when it begins, and what lasts long while it lasts."""

    def __init__(self, standing: Standing, clock: Clock) -> None:
        """Nothing is told yet; `clock` gives seconds."""
        self._standing, self._clock = standing, clock
        self._lock = threading.Lock()
        self._told_at = clock()
        self._is_told = True
        self._stage = ""

    def report(self, checkpoint: str, number: int, count: int, activity: str, done: int, total: int) -> None:
        """A `Report`."""
        with self._lock:
            before = self._standing.checkpoint
            self._standing.move(checkpoint, number, count, activity, done, total)
            if count and checkpoint != before:
                self._say(self._standing.name, self._standing.left)
            elif not count and activity != self._stage:
                self._stage, self._is_told, self._told_at = activity, False, self._clock()

    def tick(self) -> None:
        """Tell what is under way, if it was not told for long enough."""
        with self._lock:
            now = self._standing
            patience = _AGAIN_SECONDS if self._is_told else _STAGE_SECONDS
            if now.activity and self._clock() - self._told_at >= patience:
                where = f"{now.name}: {now.activity}" if now.name else now.activity
                self._say(where, now.left if now.name else f"{duration(now.elapsed)} so far")

    def _say(self, where: str, when: str) -> None:
        self._is_told, self._told_at = True, self._clock()
        say(f"{where}, {when}" if when else where)


@contextmanager
def _told(lines: Lines) -> Iterator[Lines]:
    """The lines, with a thread that looks after what lasts long."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_TICK_SECONDS):
            try:
                lines.tick()
            except OSError:  # nobody reads any more
                return

    thread = threading.Thread(target=look, name="progress", daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()
