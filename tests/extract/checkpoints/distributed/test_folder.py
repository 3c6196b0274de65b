import pytest

from spectra_cli.extract.checkpoints.distributed.folder import distributed_payload


@pytest.mark.parametrize(
    ("files", "payload"),
    [
        (["step-1/.metadata"], "step-1"),
        (["step-1/__0_0.distcp"], "step-1"),
        (
            ["step-1/pytorch_model_fsdp_0/.metadata", "step-1/optimizer_0/.metadata"],
            "step-1/pytorch_model_fsdp_0",
        ),
        (["step-1/optimizer_0/.metadata"], None),
        (["step-1/config.json"], None),
    ],
)
def test_where_the_shards_are(tmp_path, files, payload):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert distributed_payload(tmp_path / "step-1") == (None if payload is None else tmp_path / payload)


def test_an_optimizer_is_no_model(tmp_path):
    (tmp_path / "optimizer_0").mkdir()
    (tmp_path / "optimizer_0" / ".metadata").touch()
    assert distributed_payload(tmp_path / "optimizer_0") is None
