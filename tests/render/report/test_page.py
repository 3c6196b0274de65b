"""The page as a file: complete, closed to the outside, and inert to every text that it shows."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.report.page import is_page
from spectra_cli.render.report.written import write_report
from tests.builders.archives import write_planted_run

# of the file in the package echarts 6.1.0 of npm
ECHARTS = "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
HOSTILE = "<script>alert(1)</script>'\"&</title>\x1b[31m\u202e=1+1"


class Elements(HTMLParser):
    """Which elements a page has, what stands in scripts and styles, and the text outside of them."""

    def __init__(self, text):
        super().__init__()
        self.names, self.inside, self.text, self.attributes = [], {"script": [], "style": []}, [], []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        self.open = tag if tag in self.inside else ""

    def handle_endtag(self, tag):
        self.open = ""

    def handle_data(self, data):
        (self.inside[self.open] if self.open else self.text).append(data)


def hashed(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_lets_run_what_is_in_the_page_and_nothing_else(pages):
    found = Elements((pages / "one.html").read_text())
    policy = next(value for name, value in found.attributes if name == "content" and "default-src" in value)
    data, library, script = found.inside["script"]
    (style,) = found.inside["style"]
    assert policy == (
        f"default-src 'none'; script-src {hashed(library)} {hashed(script)}; style-src {hashed(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert hashlib.sha256(library.encode()).hexdigest() == ECHARTS
    assert not re.search(r"[<>&]", data)


def test_nothing_is_loaded_and_nothing_is_inline(pages):
    for path in pages.glob("*.html"):
        found = Elements(path.read_text())
        assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(found.names)
        attributes = dict(found.attributes)
        assert "style" not in attributes
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert all(value.startswith("#") for name, value in found.attributes if name == "href")


def test_hostile_texts_are_text(tmp_path):
    folder = tmp_path / "a'\"&<b>"
    folder.mkdir()
    path = write_planted_run(
        folder / "<i>=1.spectra.h5",
        steps=[0, 5],
        losses=[3.0, 2.0],
        architecture=HOSTILE,
        settings={"note": HOSTILE},
    )
    write_report(PlotRequest(runs=(str(path),)), tmp_path / "page.html")
    written = (tmp_path / "page.html").read_text()
    plain = tmp_path / "plain.html"
    other = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 5], losses=[3.0, 2.0])
    write_report(PlotRequest(runs=(str(other),)), plain)
    # the same elements as with harmless names, and the hostile ones are there to read
    assert Elements(written).names == Elements(plain.read_text()).names
    assert "<script>alert(1)</script>'\"&</title>\\x1b[31m\\u202e=1+1" in "".join(Elements(written).text)
    assert "\x1b" not in written
    assert "\u202e" not in written


def test_every_sentence_leads_to_a_part_of_the_page(pages):
    for path in pages.glob("*.html"):
        found = Elements(path.read_text())
        ids = {value for name, value in found.attributes if name == "id"}
        leads = {value for name, value in found.attributes if name == "href"}
        assert leads <= {f"#{one}" for one in ids}
        assert len(leads) > 3


def test_only_a_page_of_spectra_is_a_page(pages, tmp_path):
    assert is_page(pages / "one.html")
    (tmp_path / "mine.html").write_text("<!doctype html><p>mine</p>")
    assert not is_page(tmp_path / "mine.html")
    assert not is_page(tmp_path / "none.html")


def test_the_same_archives_give_the_same_bytes(full, pages, tmp_path):
    write_report(PlotRequest(runs=(full[0],)), tmp_path / "one.html")
    first, again = ((at / "one.html").read_text() for at in (pages, tmp_path))
    assert first.replace(str(pages), "") == again.replace(str(tmp_path), "")
