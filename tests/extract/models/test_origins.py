import torch
from torch import nn

from spectra_cli.extract.models.origins import Origins


def test_what_each_parameter_was_made_from():
    state = {name: torch.full((2, 2), float(i)) for i, name in enumerate("abcde")}
    with Origins(state) as origins:
        fused, copied, own = (nn.Linear(2, 4, bias=False) for _ in range(3))
        fused.weight.data = torch.cat([state["a"].T, 2 * state["b"]])
        copied.load_state_dict({"weight": torch.cat([state["c"].half()] * 2)})
        table = torch.zeros(3, 2)
        table[:2] = state["d"]
        assigned = nn.Parameter(state["e"])
        torch._foreach_copy_([own.weight.data[:2]], [state["a"]])
        fresh = nn.Parameter(torch.randn(2, 2))
    found = [origins.of(t) for t in (fused.weight, copied.weight, table, assigned, own.weight, fresh)]
    assert found == [{"a", "b"}, {"c"}, {"d"}, {"e"}, {"a"}, set()]


def test_the_place_of_a_tensor_that_is_gone_is_no_origin():
    with Origins({"a": torch.ones(1000)}) as origins:
        fresh = [torch.empty(1000) for _ in range(50)]
    assert not any(origins.of(tensor) for tensor in fresh)


def test_tensors_that_share_their_storage_go_by_all_names():
    whole = torch.zeros(4)
    with Origins({"a": whole[:2], "b": whole[2:]}) as origins:
        copied = whole[:2].clone()
    assert origins.of(copied) == {"a", "b"}
