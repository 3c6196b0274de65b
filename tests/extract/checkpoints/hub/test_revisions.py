import pytest

from spectra_cli.extract.checkpoints.hub.revisions import in_order_of_training, parse_revision


@pytest.mark.parametrize(
    ("name", "step", "tokens", "label"),
    [
        ("step0", 0, None, ""),
        ("step143000", 143000, None, ""),
        ("step1000-tokens4B", 1000, 4 * 10**9, ""),
        ("stage1-step1000-tokens5B", 1000, 5 * 10**9, "stage1"),
        ("stage1-step1-tokens5B", 1, 5 * 10**9, "stage1"),
        ("stage2-ingredient3-step11931-tokens51B", 11931, 51 * 10**9, "stage2-ingredient3"),
        ("step7-tokens1.5T", 7, 1_500 * 10**9, ""),
        ("step7-tokens250M", 7, 250 * 10**6, ""),
        ("global_step0050", 50, None, ""),
        ("iter_0000500", 500, None, ""),
        ("ckpt_100", 100, None, ""),
        ("checkpoint-500", 500, None, ""),
        ("main", None, None, "main"),
        ("refs/pr/1", None, None, "refs-pr-1"),
        ("tokens10k-mix", None, 10_000, "mix"),
        ("mytokens4B", None, None, "mytokens4B"),
    ],
)
def test_what_a_name_says(name, step, tokens, label):
    revision = parse_revision(name)
    assert (revision.name, revision.step, revision.tokens_seen, revision.label) == (name, step, tokens, label)


def test_stage_before_step_and_names_without_a_step_last():
    names = [
        "stage1-step2000",
        "stage1-step300",
        "stage2-b-step1",
        "stage2-a-step20",
        "stage10-step1",
        "step5",
    ]
    found = in_order_of_training(["main", *names, "early"])
    assert [r.name for r in found] == [
        *("step5", "stage1-step300", "stage1-step2000", "stage2-a-step20", "stage2-b-step1", "stage10-step1"),
        *("early", "main"),
    ]


def test_two_names_of_one_step_stay_apart():
    found = in_order_of_training(["step10-tokens1B", "step10", "step2"])
    assert [(r.step, r.label) for r in found] == [(2, ""), (10, "step10"), (10, "step10-tokens1B")]
