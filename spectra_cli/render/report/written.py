"""A report that was written: its file, and what it says first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spectra_cli.analysis.comparison import Comparison
from spectra_cli.analysis.run import Axis
from spectra_cli.core.errors import UsageError
from spectra_cli.core.shown import Shown
from spectra_cli.render.exports.whole_file import check_target, whole_file
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.report.answer import Sentence
from spectra_cli.render.report.contents import contents_of
from spectra_cli.render.report.page import page
from spectra_cli.render.report.provenance import report_command


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report(Shown):
    """A page on disk.

    Attributes:
        path: of the page; num_bytes: its size.
        question: that it answers; answer: in sentences.
    """

    path: Path
    num_bytes: int
    question: str
    answer: tuple[Sentence, ...]


def write_report(
    request: PlotRequest,
    path: Path,
    *,
    flag: str = "-o",
    overwrite: bool = False,
    comparison: Comparison | None = None,
) -> Report:
    """Write the page of one run, or of several matched as the request asks.

    Args:
        flag: by which the file was named, for messages.
        comparison: of these runs, where one was made already: the page is of it.

    Raises:
        UsageError: the file is there already or is one of the archives, or two of the runs are the same.
        ArchiveError: an archive is not there, or damaged.
        DataError: the file cannot be written.
    """
    if str(path) == "-":
        raise UsageError(f"{flag} -: a page is a file for a browser; name one, such as report.html")
    check_target(path, flag, overwrite=overwrite)
    contents = contents_of(request, comparison)
    command = report_command(
        [str(one.run.series.path) for one in contents.runs],
        {
            "align": None if request.align is Axis.LOSS else request.align.value,
            "loss": None if request.loss is None else request.loss.value,
            "at": request.at,
        },
        str(path),
    )
    content = page(contents, command=command).encode()
    with whole_file(path, flag, overwrite=overwrite) as stream:
        stream.write(content)
    return Report(path=path, num_bytes=len(content), question=contents.question, answer=contents.answer)
