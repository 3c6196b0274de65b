"""A function of archives and the command of its name find the same."""

from __future__ import annotations

import json
import sys

import pytest

import spectra_cli as spectra
from spectra_cli.__main__ import main
from spectra_cli.core.errors import UsageError
from tests.builders.archives import write_planted_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("planted")
    return [
        str(
            write_planted_run(
                folder / f"{name}.spectra.h5",
                steps=list(range(0, 1000, 100)),
                losses=[5 / (1 + step / 300) ** power for step in range(0, 1000, 100)],
                exponents=1.0 + power,
                noise=0.05,
                seed=seed,
            )
        )
        for seed, (name, power) in enumerate((("a", 0.2), ("b", 0.25), ("c", 0.3)))
    ]


CALLS = [
    (
        lambda a, b, c: spectra.show(a, layer=[1], statistic="rankme_cov"),
        "show A --layer 1 --statistic rankme_cov",
    ),
    (lambda a, b, c: spectra.show(a, step=[0, 900]), "show A --step 0,900"),
    (lambda a, b, c: spectra.compare(a, b), "compare A B"),
    (
        lambda a, b, c: spectra.compare(a, b, c, align="step", at=[300, 600], layer=0, replicates=[c]),
        "compare A B C --align step --at 300,600 --layer 0 --replicates C",
    ),
    (
        lambda a, b, c: spectra.compare(
            a, b, points=2, measure=["activations"], statistic=["rankme_cov"], loss="probe"
        ),
        "compare A B --points 2 --measure activations --statistic rankme_cov --loss probe",
    ),
    (lambda a, b, c: spectra.forecast(a, b, c, layers=[0, 1]), "forecast A B C --layers 0,1"),
    (lambda a, b, c: spectra.forecast(a), "forecast A"),
    (lambda a, b, c: spectra.phases(a, layer=0), "phases A --layer 0"),
    (lambda a, b, c: spectra.drift(a, against="first"), "drift W --against first"),
    (lambda a, b, c: spectra.validate(a), "validate A"),
]


@pytest.mark.parametrize(("call", "command"), CALLS, ids=[command for _, command in CALLS])
def test_a_function_finds_what_its_command_prints(call, command, runs, whole, capsys, monkeypatch):
    names = dict(zip("ABC", runs, strict=True)) | {"W": str(whole)}
    runs = [str(whole)] * 3 if "W" in command.split() else runs
    monkeypatch.setattr(sys, "argv", ["spectra", *(names.get(w, w) for w in command.split()), "--json"])
    with pytest.raises(SystemExit):
        main()
    printed = json.loads(capsys.readouterr().out)
    assert json.loads(json.dumps(spectra.document(call(*runs)))) == printed
    assert printed["schema"].startswith(f"spectra.{command.split()[0]}") or "forecast" in command


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda a: spectra.compare(a), "compare needs two runs"),
        (lambda a: spectra.compare(a, a, measure="weight"), "--measure weight: weight is not one of"),
        (lambda a: spectra.compare(a, a, at="x"), "--at x: expected numbers"),
        (lambda a: spectra.compare(a, a, align="time"), "--align time: expected one of loss, step, tokens"),
        (lambda a: spectra.forecast(), "forecast needs archives"),
        (lambda a: spectra.forecast(a, early_step=5, new=[a]), "--early-step, --new need"),
        (lambda a: spectra.drift(a, against="last"), "--against last: expected first, previous or both"),
        (lambda a: spectra.show(a, statistic=""), "no statistic was named"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_the_words_of_the_command(call, told, runs):
    with pytest.raises(UsageError, match=told):
        call(runs[0])
