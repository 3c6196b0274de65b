"""Any series that the core types allow comes back bit for bit."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import consolidate, write_archive, write_part
from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    ProbeInfo,
    Provenance,
    Scalar,
    Site,
    Skipped,
    Spectrum,
    SpectrumKind,
    Status,
    Vectors,
)

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
addresses = st.one_of(
    st.sampled_from(["embed", "lm_head", "final"]),
    st.builds("blocks.{}.{}".format, st.integers(0, 12), st.sampled_from(["q", "mlp.up", "resid_post"])),
)
sites = st.builds(lambda a, name: Site.parse(a, name=name), addresses, words)
losses = st.none() | st.floats(allow_nan=True)
counts = st.integers(0, 2**60)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
KINDS = {"activation_covariance": SpectrumKind.EIGENVALUES, "gradient_matrix": SpectrumKind.SINGULAR_VALUES}


def entries(count: int, width: int) -> st.SearchStrategy[Any]:
    return hnp.arrays(np.float32, (count, width), elements=st.floats(width=32))


@st.composite
def spectra(draw: st.DrawFn) -> Spectrum:
    measurement = draw(st.sampled_from(sorted(KINDS)))
    values = draw(hnp.arrays(np.float64, st.integers(1, 5), elements=st.floats(0, allow_infinity=False)))
    sizes = tuple(draw(st.lists(counts, max_size=3)))
    profile = hnp.arrays(np.float32, (len(sizes), values.size), elements=st.floats(width=32))
    num_samples, ambient_dim = draw(counts), draw(counts)
    vectors = None
    if draw(st.booleans()):
        num_samples, ambient_dim = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        count = draw(st.integers(1, values.size))
        singular = KINDS[measurement] is SpectrumKind.SINGULAR_VALUES
        vectors = Vectors(
            right=draw(entries(count, ambient_dim)),
            left=draw(entries(count, num_samples)) if singular else None,
        )
    return Spectrum(
        site=draw(sites),
        measurement=measurement,
        kind=KINDS[measurement],
        values=np.sort(values)[::-1],
        num_samples=num_samples,
        ambient_dim=ambient_dim,
        centered=draw(st.booleans()),
        unit="u",
        zero_threshold=draw(st.floats(0)),
        block_profile=draw(profile) if sizes else None,
        block_sizes=sizes,
        vectors=vectors,
    )


@st.composite
def scalars(draw: st.DrawFn) -> Scalar:
    status = draw(st.sampled_from(list(Status)))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    sizes = tuple(draw(st.lists(counts, max_size=3)))
    return Scalar(
        name=draw(st.sampled_from(["loss", "mean_share"])),
        site=draw(st.none() | sites),
        measurement=draw(st.sampled_from(["activation_covariance", "other"])),
        value=draw(finite if status.has_value else st.sampled_from([np.nan, np.inf])),
        unit="v",
        status=status,
        delete_one_block=draw(hnp.arrays(np.float64, len(sizes))),
        block_sizes=sizes,
    )


def place(value: Any) -> Any:
    return value.measurement, getattr(value, "name", ""), value.site


provenances = st.builds(
    Provenance,
    settings=st.dictionaries(words, json_values, max_size=3),
    probe=st.builds(
        ProbeInfo,
        digest=words,
        source=words,
        format=words,
        num_sequences=counts,
        sequence_length=counts,
        targets=words,
        seed=st.none() | counts,
        starts=st.lists(counts, max_size=3).map(tuple),
        vocab_size=counts,
        tokenizer=words,
        synthetic=st.booleans(),
        notices=st.lists(words, max_size=2).map(tuple),
    ),
    versions=st.just({"numerics": "1"}),
)
infos = st.builds(
    CheckpointInfo,
    num_parameters=counts,
    family=words,
    architecture=words,
    tokens_seen=st.none() | counts,
    train_loss=losses,
    eval_loss=losses,
    batch_size_tokens=st.none() | counts,
    learning_rate=losses,
    facts=st.dictionaries(words, words, max_size=2),
    digest=words,
    fingerprint=words,
    sources=st.dictionaries(words, words, max_size=2),
    notices=st.lists(words, max_size=2).map(tuple),
)
refs = st.builds(
    CheckpointRef,
    run=words,
    step=st.none() | counts,
    uri=st.text(max_size=5).map(lambda t: t.replace("\0", "")),
    format=words,
    label=words,
)
skips = st.builds(
    Skipped, measurement=words, site=sites, status=st.sampled_from(list(Status)), reason=st.text(max_size=5)
)


@st.composite
def series(draw: st.DrawFn) -> list[CheckpointSpectra]:
    shared = draw(provenances)
    found = draw(st.lists(refs, min_size=1, max_size=3, unique_by=lambda r: (r.step, r.label, r.uri)))
    unique = {(r.key if r.step is not None else (r.key, r.uri)): r for r in found}
    return [
        CheckpointSpectra(
            ref=ref,
            info=draw(infos),
            provenance=replace(
                shared,
                versions={"numerics": "1", "torch": draw(words)},
                execution=draw(st.dictionaries(words, json_values, max_size=2)),
            ),
            spectra=tuple(draw(st.lists(spectra(), max_size=4, unique_by=place))),
            scalars=tuple(draw(st.lists(scalars(), max_size=3, unique_by=place))),
            skipped=tuple(draw(st.lists(skips, max_size=2))),
        )
        for ref in unique.values()
    ]


@settings(max_examples=12)
@given(series=series())
def test_any_series_comes_back_bit_for_bit(series, as_values):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.spectra.h5"
        write_archive(path, series)
        expected = {(c.ref.key, c.ref.uri): as_values(c) for c in series}
        assert {(c.ref.key, c.ref.uri): as_values(c) for c in open_archive(path)} == expected

        merged = Path(folder) / "b.spectra.h5"
        for checkpoint in series:
            write_part(merged, checkpoint)
        consolidate(merged)
        assert merged.read_bytes() == path.read_bytes()
