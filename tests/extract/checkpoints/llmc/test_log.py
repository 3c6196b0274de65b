import pytest

from spectra_cli.extract.checkpoints.llmc.log import LoggedLosses, read_losses


def test_the_last_line_of_a_step_counts(tmp_path):
    (tmp_path / "main.log").write_text("s:3 tel:4.0\ns:3 trl:5.0 lr:1\ns:3 tel:3.5\ns:4 eval:0.25\n")
    found = read_losses(tmp_path, 3)
    assert found == LoggedLosses(
        train_loss=5.0, eval_loss=3.5, sources={"train_loss": "main.log", "eval_loss": "main.log"}
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "s:3 tel:nan\ns:3 trl:-\n",
        "s:30 tel:1.0\n",
        f"s:{'3' * 5000} tel:1.0\n",
        "s:3 tel:3.4\ns:3 tel:2.",
    ],
)
def test_no_loss(tmp_path, content):
    (tmp_path / "main.log").write_text(content)
    assert read_losses(tmp_path, 3) == LoggedLosses()


def test_no_step_or_no_log(tmp_path):
    assert read_losses(tmp_path, 3) == LoggedLosses()
    (tmp_path / "main.log").write_text("s:3 tel:1.0\n")
    assert read_losses(tmp_path, None) == LoggedLosses()
