"""The page that a command writes at its end, where one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_cli.cli.groups.group import OptionGroup, option
from spectra_cli.cli.groups.output import OutputOptions

if TYPE_CHECKING:
    from spectra_cli.analysis.comparison import Comparison

FLAG = "--report"


@dataclass(frozen=True, kw_only=True)
class ReportOptions(OptionGroup):
    """Where a page goes; one of an earlier run is replaced, and no other file."""

    panel = OutputOptions.panel

    page: str | None = option("Write a page of it at the end, as spectra report does.", FLAG, metavar="FILE")

    def check(self) -> None:
        """Look, before any work is done, whether the page can be written.

        Raises:
            UsageError: a file that is no such page is there.
        """
        if self.page is not None:
            from spectra_cli.render.exports.whole_file import check_target
            from spectra_cli.render.report.page import is_page

            check_target(Path(self.page), FLAG, overwrite=is_page(Path(self.page)))

    def write(self, archives: tuple[str, ...], found: Comparison | None = None) -> None:
        """Write the page, of a comparison that was made where there is one, and say where it is.

        Raises:
            SpectraError: as `write_report`.
        """
        if self.page is None:
            return
        from spectra_cli.render.console import say
        from spectra_cli.render.figures.request import PlotRequest
        from spectra_cli.render.report.page import is_page
        from spectra_cli.render.report.written import write_report

        path = Path(self.page)
        request = PlotRequest(runs=archives)
        write_report(request, path, flag=FLAG, overwrite=is_page(path), comparison=found)
        say(f"report: {path}")
