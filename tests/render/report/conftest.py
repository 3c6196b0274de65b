"""Archives to write pages of, and a real browser without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.report.written import write_report
from tests.render.figures.conftest import full, planted, reaching

__all__ = ["full", "planted", "reaching"]


@dataclass
class Opened:
    """A page in the browser, and what the browser complained of or asked for."""

    page: object
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium():
    """Chromium, driven without a network; outside CI its absence skips."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"{error}: pip install playwright")
    if path is None:
        if "CI" in os.environ:
            pytest.fail("no Chromium, which CI installs: make browser")
        pytest.skip("no Chromium here: make browser, or apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium) -> Iterator:
    """Open a page at a size, in a colour scheme; a complaint of the browser fails the test at its end."""
    contexts, pages = [], []

    def open_page(path: Path, *, width: int = 1440, height: int = 1000, scheme: str = "light") -> Opened:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            offline=True,
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        found = Opened(page)
        page.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                found.requests.append(request.url) if not request.url.startswith(("file:", "blob:")) else None
            ),
        )
        page.goto(path.absolute().as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=20_000)
        pages.append(found)
        return found

    yield open_page
    for context in contexts:
        context.close()
    assert [one.complaints for one in pages] == [[]] * len(pages)
    assert [one.requests for one in pages] == [[]] * len(pages)


@pytest.fixture(scope="session")
def pages(full, planted, tmp_path_factory):
    """Written pages: of one run with all spectra, of two of them, and of two with a trend."""
    folder = tmp_path_factory.mktemp("pages")
    runs = {"one": full[:1], "two": full, "planted": planted}
    for name, archives in runs.items():
        write_report(PlotRequest(runs=tuple(archives)), folder / f"{name}.html")
    return folder
