from spectra_cli.core.words.listing import listed


def test_only_what_is_left_out_is_counted():
    assert listed([], 2) == ""
    assert listed((n for n in (3, 5)), 2) == "3, 5"
    assert listed({"a": 1, "b": 2, "c": 3, "d": 4}, 2, of=" places") == "a, b and 2 more places"
