from dataclasses import fields

import pytest

from spectra_cli.extract.demo.families import FAMILIES, FULL, INTERVENTIONS, QUICK, saved_sequences


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param](FULL, 2)


def test_runs_of_a_family_share_task_probe_and_checkpoints(family):
    assert len({run.name for run in family}) == len(family)
    assert (
        len({(run.settings.task, run.settings.data_seed, run.settings.num_validation) for run in family}) == 1
    )
    saved = {tuple(step * run.settings.batch_size for step in run.settings.save_steps) for run in family}
    assert saved == {(0, *saved_sequences(FULL.first_save, FULL.most_sequences))}
    assert FULL.early_sequences in saved.pop()
    assert {run.settings.target_loss for run in family} == {FULL.target_loss}


def differing(one, other):
    """Settings that differ, but for those that follow from the batch size."""
    derived = {"save_steps", "num_steps"}
    names = [f.name for f in fields(one.settings) if f.name not in derived]
    return {name for name in names if getattr(one.settings, name) != getattr(other.settings, name)} | (
        {"recipe"} if one.recipe != other.recipe else set()
    )


def test_batch_sizes_differ_in_nothing_else():
    runs = FAMILIES["batch-size"](FULL, 3)
    assert len({run.settings.batch_size for run in runs}) >= 3
    assert all(differing(runs[0], run) <= {"batch_size", "seed"} for run in runs)
    assert len({run.settings.seed for run in runs}) == 3


def test_the_early_tail_has_at_least_twelve_runs_of_batch_sizes_rates_and_seeds():
    runs = FAMILIES["early-tail"](FULL, 2)
    assert len(runs) >= 12
    assert {name for run in runs for name in differing(runs[0], run)} == {"batch_size", "lr", "seed"}


def test_an_intervention_changes_one_thing_of_the_first_baseline():
    runs = {run.name: run for run in FAMILIES["taxonomy"](FULL, 3)}
    first = runs["baseline-seed0"]
    changes = {name: differing(first, run) for name, run in runs.items() if name != first.name}
    assert changes == {
        "baseline-seed1": {"seed"},
        "baseline-seed2": {"seed"},
        "math-attention": {"attention_kernel"},
        "stored-bfloat16": {"stored_dtype"},
        "muon": {"recipe"},
        "untied": {"tied"},
    }
    assert INTERVENTIONS.keys() == {name for name in runs if not name.startswith("baseline")}


def test_quick_families_are_smaller_and_otherwise_the_same():
    assert QUICK.target_loss > FULL.target_loss
    assert len(QUICK.batch_sizes) >= 3
    for make in FAMILIES.values():
        assert len(make(QUICK, 1)) <= len(make(FULL, 2))
