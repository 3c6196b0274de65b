import json

import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.distributed.config import describe

SHAPES = {"model.embed_tokens.weight": (4, 2)}


@pytest.mark.parametrize("place", ["run/step-1/shards", "run/step-1", "run", "."])
def test_config_in_the_folder_or_above(tmp_path, place):
    payload = tmp_path / "run" / "step-1" / "shards"
    payload.mkdir(parents=True)
    (payload / "config.json").write_text(json.dumps({"parallelism": 2}))  # of another tool: passed over
    (tmp_path / place / "config.json").write_text(json.dumps({"model_type": "llama"}))
    found = describe(SHAPES, payload, payload.parent)
    assert found.config == {"model_type": "llama"}
    assert found.files == ((tmp_path / place / "config.json"),)
    outside = {"run": "../config.json", ".": "../../config.json"}.get(place)
    assert found.notices == ((f"described by {outside}, outside its own folder",) if outside else ())
    inside = {"run/step-1/shards": "shards/config.json", "run/step-1": "config.json"}
    assert found.source == inside.get(place, outside)


def test_nanogpt_names_need_no_config(tmp_path):
    found = describe({"transformer.wte.weight": (4, 2)}, tmp_path, tmp_path)
    assert (found.layout, found.config["layout"]) == ("nanogpt", "state-dict")


def test_nothing_describes_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"no config\.json with a model_type.*model\.embed_tokens"):
        describe(SHAPES, tmp_path, tmp_path)
