"""The page in Chromium without a network: figures, keyboard, downloads, and who can read it.

`opened` fails a test in which the browser complained of anything or asked for anything.
"""

from __future__ import annotations

import csv
import io

import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.words.numbers import with_error
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.report.measured import measured
from spectra_cli.render.report.written import write_report
from spectra_cli.workflows.runs import open_runs
from tests.builders.archives import write_planted_run

SPECTRA, TRAINING = "#spectra", "#training"


def title(page, part, number=0):
    return page.locator(f"{part} .panel-title").nth(number).inner_text()


def readout(page, part, number=0):
    return page.locator(f"{part} .readout").nth(number).inner_text()


def pixels(page, part, number=0):
    """What the chart shows: its canvas as text."""
    canvas = page.locator(f"{part} .chart").nth(number).locator("canvas").first
    return canvas.evaluate("one => one.toDataURL()")


def drawn(page, part, number):
    """Wait for a chart: those below the fold are drawn when they come near."""
    page.locator(f"{part} .chart").nth(number).locator("canvas").first.wait_for()


def pick(page, part, words, value):
    page.locator(f"{part} label", has_text=words).locator("select").select_option(value)


def downloaded(page, part):
    with page.expect_download() as found:
        page.locator(f"{part} button", has_text="Download CSV").first.click()
    with open(found.value.path(), encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_slider_and_the_pickers_change_the_figure(opened, pages):
    page = opened(pages / "one.html").page
    assert title(page, SPECTRA) == "activations layer 0 at step200"
    first = pixels(page, SPECTRA)
    slider = page.locator(f"{SPECTRA} input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert title(page, SPECTRA) == "activations layer 0 at step100"
    assert page.locator(f"{SPECTRA} output").inner_text() == "step100"
    second = pixels(page, SPECTRA)
    assert second != first
    pick(page, SPECTRA, "Spectra of", "weight")
    assert title(page, SPECTRA) == "weights layer 0 attn.o at step100"
    assert pixels(page, SPECTRA) not in (first, second)
    pick(page, SPECTRA, "Spectra of", "activation_covariance")
    page.keyboard.press("Tab")
    assert pixels(page, SPECTRA) == second


def test_arrow_keys_read_the_eigenvalues_of_the_archive(opened, pages, full):
    page = opened(pages / "one.html").page
    page.locator(f"{SPECTRA} .chart").focus()
    held = open_archive(full[0]).checkpoint(2)
    values = next(one for one in held.spectra if one.measurement == "activation_covariance").values
    for rank in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        told = readout(page, SPECTRA)
        assert told.startswith(f"rank {rank}: step200 ")
        number = float(told.rpartition(" ")[2].partition("±")[0])
        assert number == pytest.approx(values[rank - 1], rel=0.01)


def test_pointers_move_together_and_a_cell_opens_its_spectrum(opened, pages):
    page = opened(pages / "planted.html").page
    pick(page, TRAINING, "Lines", "0")
    page.locator(TRAINING).scroll_into_view_if_needed()
    chart = page.locator(f"{TRAINING} .chart")
    drawn(page, TRAINING, 2)
    chart.nth(0).scroll_into_view_if_needed()
    chart.nth(0).hover(position={"x": 200, "y": 100})
    for number in range(3):
        page.locator(f"{TRAINING} .readout").nth(number).filter(has_text=": layer 0").wait_for()
    steps = {readout(page, TRAINING, number).partition(":")[0] for number in range(3)}
    assert len(steps) == 1
    # the map, by keyboard: layer 1 at the second checkpoint
    chart.nth(3).scroll_into_view_if_needed()
    chart.nth(3).focus()
    drawn(page, TRAINING, 3)
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert readout(page, TRAINING, 3).startswith("layer 1, step 100: ")
    page.keyboard.press("Enter")
    assert title(page, SPECTRA) == "activations layer 1 at step100"
    assert page.evaluate("document.activeElement.type") == "range"


def test_a_click_on_a_cell_opens_its_spectrum(opened, pages):
    page = opened(pages / "planted.html").page
    chart = page.locator(f"{TRAINING} .chart").nth(3)
    chart.scroll_into_view_if_needed()
    drawn(page, TRAINING, 3)
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] - 30, "y": 20})
    assert title(page, SPECTRA) == "activations layer 0 at step400"


def test_other_runs_stand_beside_at_the_nearest_loss(opened, pages):
    page = opened(pages / "planted.html").page
    key = page.locator(f"{SPECTRA} .key").inner_text()
    assert "a, step400" in key
    assert "b, step200 (loss +0.1)" in key
    page.locator(f"{SPECTRA} label", has_text="other runs").locator("input").uncheck()
    assert "b, " not in page.locator(f"{SPECTRA} .key").inner_text()


def test_tables_have_the_archived_numbers_as_other_forms_write_them(opened, pages, full):
    page = opened(pages / "one.html").page
    (run,) = open_runs(full[:1])
    found, _ = measured(run)
    for kind in found:
        pick(page, TRAINING, "Statistics of", kind.name)
        details = page.locator(f"{TRAINING} details")
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        shown = page.locator(f"{TRAINING} table tbody tr")
        cells = [row.locator("th, td").all_inner_texts() for row in shown.all()]
        expected = []
        for place in range(3):
            for site in kind.sites:
                row = [str(run.series.refs[place].step), site.address]
                for values in kind.statistics.values():
                    one = values.get((place, site.address))
                    if one is None or not one.status.has_value:
                        row.append("withheld")
                    else:
                        row.append(with_error(one.value, one.stderr) + "*" * bool(one.reason))
                expected.append(row)
        assert cells == expected
        rows = downloaded(page, TRAINING)
        assert len(rows) == len(expected)
        for number, row in enumerate(rows):
            place, site = divmod(number, len(kind.sites))
            assert (row["checkpoint"], row["site"]) == (
                run.series.refs[place].key,
                kind.sites[site].address,
            )
            for name, values in kind.statistics.items():
                one = values.get((place, kind.sites[site].address))
                written = row[name]
                assert (float(written) if written else None) == (
                    None if one is None or not one.status.has_value else one.value
                )


def test_columns_sort_and_say_so(opened, pages):
    page = opened(pages / "planted.html").page
    part = "#checkpoints div:nth-of-type(1)"
    head = page.locator(f"{part} thead th", has_text="probe loss").first
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    column = page.locator("#checkpoints table").first.locator("tbody tr td:nth-child(4)")
    up = [float(one) for one in column.all_inner_texts()]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(one) for one in column.all_inner_texts()] == up[::-1] == sorted(up, reverse=True)


def test_the_matrix_of_differences_reads_its_verdicts(opened, pages):
    page = opened(pages / "planted.html").page
    page.locator("#compare .chart").first.focus()
    drawn(page, "#compare", 0)
    page.keyboard.press("ArrowRight")
    told = readout(page, "#compare")
    assert told.startswith("activations layer 0, ")
    assert "difference / noise floor" in told
    assert told.endswith((", different", ", equal", ", inconclusive"))


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("one", 1440, "dark"), ("one", 360, "light"), ("two", 1440, "light"), ("two", 360, "dark")],
)
def test_nothing_keeps_a_reader_out(opened, pages, name, width, scheme):
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    page = opened(pages / f"{name}.html", width=width, height=740, scheme=scheme).page
    for details in page.locator("details").all():
        details.locator("summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_every_control_is_reached_by_the_tabulator(opened, pages):
    page = opened(pages / "two.html").page
    wanted = page.locator(
        "select:visible, input:visible, summary:visible, button:visible:enabled, .chart:visible"
    ).count()
    for _ in range(400):
        page.keyboard.press("Tab")
        around = page.evaluate(
            "(() => { const one = document.activeElement;"
            " if (one.matches('select, input, summary, button, .chart')) one.dataset.seen = 'x';"
            " return one === document.body; })()"
        )
        if around:
            break
    assert page.locator("[data-seen]").count() == wanted


def test_it_prints_on_white_with_every_figure(opened, pages):
    page = opened(pages / "one.html", scheme="dark").page
    before = page.locator("canvas").count()
    assert page.pdf().startswith(b"%PDF")
    assert page.locator("canvas").count() > before  # those below the fold too


def test_hostile_names_are_shown_and_do_nothing(opened, tmp_path):
    hostile = "<script>document.title='owned'</script>'\"&\x1b[31m\u202e"
    path = write_planted_run(
        tmp_path / "=<b>1.spectra.h5", steps=[0, 5], losses=[3.0, 2.0], architecture=hostile, noise=0.1
    )
    other = write_planted_run(
        tmp_path / "@b\u202e.spectra.h5", steps=[0, 5], losses=[3.1, 1.9], noise=0.1, seed=3
    )
    write_report(PlotRequest(runs=(str(path), str(other))), tmp_path / "page.html")
    page = opened(tmp_path / "page.html").page
    assert page.title() == "What differs inside =<b>1 and @b\\u202e? - spectra"
    assert "<script>document.title='owned'</script>" in page.locator("header").inner_text()
    assert "=<b>1" in page.locator(f"{SPECTRA} .key").inner_text()
    assert "\u202e" not in page.locator("body").inner_text()
    pick(page, TRAINING, "Lines", "all")
    page.locator(f"{TRAINING} summary").click()
    with page.expect_download() as found:
        page.locator(f"{TRAINING} button", has_text="Download CSV").click()
    rows = list(csv.reader(io.StringIO(found.value.path().read_text())))
    assert {row[0] for row in rows[1:]} == {"'=<b>1", "'@b\\u202e"}
