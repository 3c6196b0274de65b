"""Size of report pages, time to write them and to have them ready: `python -m benchmarks.reports`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from benchmarks.archives import write_archive
from benchmarks.processes import usage_of

SIZES = ((50, 12), (200, 48))
TRIES = 3


def main() -> None:
    """One line a size: each page is written by a process of its own, and opened in a fresh Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        for num_checkpoints, num_layers in SIZES:
            archive = Path(folder) / f"run{num_checkpoints}.spectra.h5"
            write_archive(archive, num_checkpoints=num_checkpoints, num_layers=num_layers, exponent=1.0)
            page = archive.with_suffix(".html")
            used = usage_of(["report", str(archive), "-o", str(page)])
            ready = min(_seconds_to_ready(page) for _ in range(TRIES))
            print(
                f"{num_checkpoints} checkpoints x {num_layers} layers x 4 matrices: written in {used}; "
                f"{page.stat().st_size / 1e6:.1f} MB; ready after {ready:.2f} s",
                flush=True,
            )
            archive.unlink()


def _seconds_to_ready(page: Path) -> float:
    """From the start of navigation until the script has drawn what is in view and takes input."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 1000})
        tab.goto(page.absolute().as_uri())
        tab.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
        milliseconds = float(tab.evaluate("Number(document.documentElement.dataset.ready)"))
        browser.close()
    return milliseconds / 1000


if __name__ == "__main__":
    main()
