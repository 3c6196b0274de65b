"""A recording holds every word that was printed, stands alone, and is the same whatever the clock says."""

import re
from xml.etree import ElementTree

from docs.recording import recording

SCENES = [
    ("spectra scan a", "\x1b[1mone\x1b[0m <two> & 1.02±0.03\n3 measured in 2.5 s"),
    ("spectra show a", "four"),
]


def texts(svg):
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - our own
    return " ".join("".join(one.itertext()) for one in found).replace("\xa0", " ")


def test_every_word_of_every_scene_is_there():
    text = texts(recording(SCENES, title="spectra"))
    for words in (
        "$ spectra scan a",
        "one",
        "<two> & 1.02±0.03",
        "3 measured in N s",
        "$ spectra show a",
        "four",
    ):
        assert words in re.sub(r"\s+", " ", text)


def test_times_change_nothing_and_other_numbers_do():
    first = recording(SCENES, title="spectra")
    assert recording([(c, o.replace("2.5 s", "17 s")) for c, o in SCENES], title="spectra") == first
    assert recording([(c, o.replace("1.02", "1.03")) for c, o in SCENES], title="spectra") != first


def test_nothing_is_fetched():
    svg = recording(SCENES, title="spectra")
    assert "url(http" not in svg.replace('"', "")
    assert not re.findall(r'(?:href|src)="(?!#)', svg)


def test_scenes_follow_each_other_and_one_stands_still_for_who_wants_no_motion():
    svg = recording(SCENES, title="spectra")
    delays = re.findall(r"#scene-(\d) \{ animation-delay: (\d+)s \}", svg)
    (turn,) = re.findall(r"animation: turn (\d+)s", svg)
    assert [int(place) for place, _ in delays] == [0, 1]
    assert int(turn) == 2 * (int(delays[1][1]) - int(delays[0][1]))
    assert "prefers-reduced-motion" in svg
