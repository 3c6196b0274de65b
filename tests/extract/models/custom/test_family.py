import dataclasses
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from spectra_cli.core.errors import ModelError, UsageError
from spectra_cli.extract.models.custom.description import Description
from spectra_cli.extract.models.custom.family import custom_family
from spectra_cli.extract.protocols import TensorHeader

VOCAB, WIDTH = 61, 16
CPU, META = torch.device("cpu"), torch.device("meta")


class Block(nn.Module):
    def __init__(self, *, fused: bool):
        super().__init__()
        self.fused = fused
        if fused:
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        else:
            self.attn = nn.ModuleDict({f"{c}_proj": nn.Linear(WIDTH, WIDTH, bias=False) for c in "qkvo"})
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        u = functional.layer_norm(x, (WIDTH,))
        q, k, v = self.qkv(u).chunk(3, -1) if self.fused else [self.attn[f"{c}_proj"](u) for c in "qkv"]
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(y if self.fused else self.attn["o_proj"](y))


class Tiny(nn.Module):
    def __init__(self, *, fused=False, cap=None, tied=False, wrapped=False):
        super().__init__()
        self.places = nn.Embedding(12, WIDTH)
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(Block(fused=fused) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.unembed = nn.Linear(WIDTH, VOCAB, bias=False)
        if tied:
            self.unembed.weight = self.tokens.weight
        self.cap, self.wrapped = cap, wrapped

    def trunk(self, tokens):
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def head(self, hidden):
        logits = self.unembed(hidden)
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def forward(self, tokens):
        logits = self.head(self.trunk(tokens))
        return SimpleNamespace(logits=logits) if self.wrapped else logits


def written(**options) -> Tiny:
    torch.manual_seed(3)
    module = Tiny(**options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return module


def load(state, **options) -> Tiny:
    module = Tiny(**options)
    module.load_state_dict(state)
    return module


@pytest.fixture
def family_of(monkeypatch, tmp_path):
    """A family whose builder is the given function, named as a user names it."""

    def family(build):
        module = SimpleNamespace(build=build)
        monkeypatch.setitem(sys.modules, "users_model", module)
        return custom_family("users_model:build")

    return family


@pytest.fixture
def checkpoint(header_of):
    def both(module):
        state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        return header_of({"anything": 1}, state, format="nanogpt"), state

    return both


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_bare_module_is_measured_as_it_computes(family_of, checkpoint, tokens, wrapped):
    source = written(wrapped=wrapped)
    header, state = checkpoint(source)
    family = family_of(lambda state, metadata: load(state, wrapped=wrapped))
    skeleton = family.build(header, None, device=META)
    model = family.build(header, state, device=CPU)
    with torch.no_grad():
        expected = source.head(source.trunk(tokens))
        torch.testing.assert_close(model.head(model.trunk(tokens)), expected, rtol=1e-5, atol=1e-6)
    addresses = [view.site.address for view in model.matrices]
    assert addresses == [view.site.address for view in skeleton.matrices]
    per_block = ["attn.q", "attn.k", "attn.v", "attn.o", "out"]
    assert addresses == ["embed", *[f"blocks.{n}.{c}" for n in (0, 1) for c in per_block], "lm_head"]
    assert (model.width, model.vocab_size, model.family, model.recognised) == (WIDTH, VOCAB, "custom", False)
    assert model.final_norm is model.module.norm
    assert "built by users_model:build" in model.notices


def test_its_gradients_and_covariances_are_those_of_autograd(
    family_of, checkpoint, make_probe, scan, slow_reference, spectra_of
):
    header, state = checkpoint(written())
    family = family_of(lambda state, metadata: load(state))
    probe = make_probe(6, 8)
    found = scan(family.build(header, state, device=CPU), probe, dtype="float64")
    model = family.build(header, state, device=CPU)
    addresses = [v.site.address for v in model.matrices if v.site.layer is not None]
    truth = slow_reference(model, probe, addresses)
    gradients = spectra_of(found, "gradient_matrix")
    assert gradients.keys() == set(addresses)
    for address, spectrum in gradients.items():
        expected = truth.singular_values(address)
        # float64 throughout; the Gram matrix squares the rounding
        torch.testing.assert_close(
            torch.tensor(spectrum.values)[: len(expected)],
            expected,
            rtol=1e-6,
            atol=1e-7 * float(expected[0]),
        )
    for layer in (0, 1):
        values = torch.tensor(spectra_of(found, "activation_covariance")[f"blocks.{layer}.resid_post"].values)
        torch.testing.assert_close(
            values, truth.covariance_eigenvalues(layer)[: len(values)], rtol=1e-6, atol=1e-9
        )


def test_rows_of_a_fused_matrix_are_those_of_its_unfused_twin(family_of, checkpoint):
    header, state = checkpoint(written(fused=True))
    parts = {
        f"blocks.{n}.attn.{c}": (f"layers.{n}.qkv.weight", i * WIDTH, (i + 1) * WIDTH)
        for n in (0, 1)
        for i, c in enumerate("qkv")
    }
    family = family_of(
        lambda state, metadata: {"module": load(state, fused=True), "matrices": parts, "blocks": "layers"}
    )
    model = family.build(header, state, device=CPU)
    views = {view.site.address: view for view in model.matrices}
    assert views.keys() == {*parts, "embed", "lm_head"}
    for i, c in enumerate("qkv"):
        expected = state["layers.1.qkv.weight"].chunk(3)[i]
        assert torch.equal(views[f"blocks.1.attn.{c}"].weight(), expected)
    assert any("out.weight" in notice for notice in model.notices)


def test_a_tied_head_is_measured_once_as_the_embedding(family_of, checkpoint):
    header, state = checkpoint(written(tied=True))
    model = family_of(lambda state, metadata: load(state, tied=True)).build(header, state, device=CPU)
    first = model.matrices[0]
    assert (first.site.address, first.aliases) == ("embed", ("unembed.weight",))
    assert "lm_head" not in {view.site.address for view in model.matrices}


def test_logits_that_are_changed_after_the_head_need_both_halves(family_of, checkpoint, tokens):
    source = written(cap=2.0)
    header, state = checkpoint(source)
    with pytest.raises(ModelError, match="return `trunk` and `head`, or a `loss`, beside the module"):
        family_of(lambda state, metadata: load(state, cap=2.0)).build(header, state, device=CPU)

    def build(state, metadata):
        module = load(state, cap=2.0)
        return Description(module=module, trunk=module.trunk, head=module.head, max_length=12)

    model = family_of(build).build(header, state, device=CPU)
    with torch.no_grad():
        torch.testing.assert_close(model.head(model.trunk(tokens)), source(tokens), rtol=1e-5, atol=1e-6)
    assert model.max_length == 12


def test_metadata_says_where_the_tensors_come_from(family_of, checkpoint):
    seen = []
    header, state = checkpoint(written())
    family_of(lambda state, metadata: seen.append(metadata) or load(state)).build(header, state, device=CPU)
    (metadata,) = seen
    assert metadata == {"config": {"anything": 1}, "format": "nanogpt", "path": "/runs/tiny/step5", "step": 5}


def test_an_object_with_a_module_will_do(family_of, checkpoint):
    header, state = checkpoint(written())
    family = family_of(lambda state, metadata: SimpleNamespace(module=load(state), final_norm="norm"))
    model = family.build(header, state, device=CPU)
    assert model.final_norm is model.module.norm


def test_weights_that_were_not_loaded_are_noticed(family_of, checkpoint):
    header, state = checkpoint(written())
    with pytest.raises(ModelError, match=r"places.weight differs from the checkpoint's tensor of that name"):
        family_of(lambda state, metadata: Tiny()).build(header, state, device=CPU)
    renamed = {f"net.{name}": tensor for name, tensor in state.items()}
    build = family_of(
        lambda state, metadata: load({n.removeprefix("net."): t for n, t in state.items()})
    ).build
    notices = build(header, renamed, device=CPU).notices
    assert any("15 of 15 parameters are not the checkpoint's by name" in n for n in notices)


def test_what_module_and_checkpoint_lack_is_named(family_of, checkpoint):
    header, state = checkpoint(written())
    more = state | {f"old.{n}.weight": torch.ones(3) for n in range(9)}
    kept = set(state)
    family = family_of(lambda state, metadata: load({n: t for n, t in state.items() if n in kept}))
    header = dataclasses.replace(
        header, tensors={n: TensorHeader(shape=tuple(t.shape), dtype=t.dtype) for n, t in more.items()}
    )
    for given, device in ((None, META), (more, CPU)):
        (notice,) = (n for n in family.build(header, given, device=device).notices if "tensors of" in n)
        assert notice.startswith(
            "9 of 24 tensors of the checkpoint are not in the module that users_model:build built: "
            "old.0.weight, old.1.weight, "
        )
        assert notice.endswith("old.7.weight and 1 more")

    def forgetful(state, metadata):
        module = Tiny()
        module.load_state_dict({n: t for n, t in state.items() if "norm" not in n}, strict=False)
        module.gain = nn.Parameter(torch.ones(WIDTH))
        return module

    header, state = checkpoint(written())
    without = {name: tensor for name, tensor in state.items() if "norm" not in name}
    lacking = dataclasses.replace(header, tensors={n: header.tensors[n] for n in without})
    for given, device in ((None, META), (without, CPU)):
        with pytest.raises(
            ModelError,
            match=r"3 of 16 parameters .* are not from the checkpoint: gain, norm.weight, norm.bias;",
        ):
            family_of(forgetful).build(lacking, given, device=device)


def test_tensors_that_go_by_other_names_and_shapes_are_in_the_module(family_of, checkpoint):
    header, state = checkpoint(written(fused=True))
    split = {name: tensor for name, tensor in state.items() if "qkv" not in name}
    split |= {
        f"{n}.{c}": part.T
        for n in (0, 1)
        for c, part in zip("qkv", state[f"layers.{n}.qkv.weight"].chunk(3), strict=True)
    }

    def build(state, metadata):
        fused = {name: tensor for name, tensor in state.items() if name[0] not in "01"}
        for n in (0, 1):
            fused[f"layers.{n}.qkv.weight"] = torch.cat([state[f"{n}.{c}"].T for c in "qkv"])
        return load(fused, fused=True)

    notices = family_of(build).build(header, split, device=CPU).notices
    assert not any("tensors of the checkpoint" in notice for notice in notices)
    assert any("2 of 9 parameters are not the checkpoint's by name" in notice for notice in notices)


def test_tensors_without_values_need_not_be_loaded(family_of, checkpoint):
    header, state = checkpoint(written())
    family = family_of(lambda state, metadata: Tiny() if state["norm.bias"].is_meta else load(state))
    assert family.build(header, None, device=META).width == WIDTH
    assert family.build(header, state, device=CPU).width == WIDTH


def meta_module(state, metadata):
    with META:
        return Tiny()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda state, metadata: 3, "returned a int; expected a torch.nn.Module"),
        (lambda state, metadata: {"modul": 1}, "a mapping with modul; expected"),
        (lambda state, metadata: {"module": 3}, "a int as module"),
        (lambda state, metadata: {"module": load(state), "trunk": len}, "they come together"),
        (lambda state, metadata: {"module": load(state), "blocks": "layer"}, "Tiny has no part 'layer'"),
        (lambda state, metadata: {"module": load(state), "blocks": [nn.ReLU()]}, "blocks are ReLU"),
        (
            lambda state, metadata: {"module": load(state), "matrices": {"embed": "norm.weight"}},
            r"embed is norm.weight, found \(16,\); expected a matrix",
        ),
        (
            lambda state, metadata: {"module": load(state), "matrices": {"embed": ("tokens.weight", 3)}},
            r"embed is \('tokens.weight', 3\); expected the path of a parameter",
        ),
        (
            lambda state, metadata: {
                "module": load(state),
                "matrices": {"blocks.0.out": ("layers.0.out.weight", 8, 99)},
            },
            "blocks.0.out is rows 8 to 99 of layers.0.out.weight, which has 16",
        ),
        (
            lambda state, metadata: {
                "module": load(state),
                "matrices": {"blocks.2.out": "layers.0.out.weight"},
            },
            "blocks.2.out is in no block; the model has 2",
        ),
        (lambda state, metadata: {"module": load(state), "trunk": 1, "head": 2}, "a int as trunk"),
        (meta_module, "tensors of its module have no values"),
        (lambda state, metadata: state["abc"], r"it raised KeyError: 'abc' \(.*test_family.py, line \d+, in"),
        (lambda state, metadata: load({}), r"(?s)it raised RuntimeError: .*Missing key"),
        (
            lambda state, metadata: sys.exit("no"),
            r"it raised SystemExit: no \(.*test_family.py, line \d+, in",
        ),
    ],
)
def test_what_cannot_be_used_is_named(family_of, checkpoint, build, message):
    header, state = checkpoint(written())
    with pytest.raises(ModelError, match=message):
        family_of(build).build(header, state, device=CPU)


def test_a_builder_that_reads_values_is_told_of_the_first_call(family_of, checkpoint):
    header, _ = checkpoint(written())
    family = family_of(lambda state, metadata: state["norm.weight"][0].item())
    with pytest.raises(ModelError, match="first called with tensors on the meta device"):
        family.build(header, None, device=META)


def test_a_forward_without_logits_is_named(family_of, checkpoint):
    header, state = checkpoint(written())

    class Pooled(Tiny):
        def forward(self, tokens: Tensor) -> Tensor:
            return super().forward(tokens).mean(1)

    def build(state, metadata):
        module = Pooled()
        module.load_state_dict(state)
        return module

    with pytest.raises(ModelError, match=r"returned \(1, 61\); expected logits of shape \(B, T, V\)"):
        family_of(build).build(header, state, device=CPU)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("my_model", "expected package.module:function"),
        ("my_model.py:build", "the module's name and not its file: my_model:build"),
        ("runs/my_model:build", "expected package.module:function"),
        ("nowhere_to_be_found:build", "no module 'nowhere_to_be_found' in"),
        ("math:build", "math has no 'build'; it has"),
        ("math:pi", "is a float; expected a function"),
    ],
)
def test_a_name_that_leads_nowhere(word, message):
    with pytest.raises(UsageError, match=message):
        custom_family(word)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def build(:\n", "importing broken raised SyntaxError"),
        ("1 / 0\n", r"importing broken raised ZeroDivisionError: division by zero \(.*broken.py, line 1"),
        ("import sys\nsys.exit(2)\n", r"importing broken ended the program .*__main__"),
    ],
)
def test_a_module_that_cannot_be_imported(content, message, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"(?s)--model broken:build: {message}"):
        custom_family("broken:build")
    assert "broken" not in sys.modules


def test_a_forward_that_raises_is_told_by_place(family_of, checkpoint):
    header, state = checkpoint(written())

    class Strict(Tiny):
        def forward(self, tokens):
            raise ValueError("attention_mask is required")

    def build(state, metadata):
        module = Strict()
        module.load_state_dict(state)
        return module

    with pytest.raises(ModelError, match=r"its forward raised ValueError: attention_mask .*test_family.py"):
        family_of(build).build(header, state, device=CPU)


def test_modules_of_the_working_directory_are_found(tmp_path, monkeypatch):
    (tmp_path / "beside_me.py").write_text("def build(state, metadata):\n    return 1\n")
    (tmp_path / "lacking.py").write_text("import not_installed_at_all\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert custom_family("beside_me:build").builder({}, {}) == 1
    with pytest.raises(UsageError, match=r"lacking raised ModuleNotFoundError: .*not_installed_at_all"):
        custom_family("lacking:build")
    assert sys.path == before
    sys.modules.pop("beside_me")


# ----------------------------------------------------------------------------- the documented example

EXAMPLE = Path(__file__).parents[4] / "docs" / "how-to" / "scan-your-own-model.md"
MY_MODEL = """
from tests_of_custom import Tiny


class MyModel(Tiny):
    def __init__(self, *, vocab_size, width, num_layers):
        super().__init__()
        assert (vocab_size, width, num_layers) == (61, 16, 2)
"""


def test_the_documented_example_works(tmp_path, monkeypatch, checkpoint, tokens):
    example, mapping, with_loss = re.findall(r"```python\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 10
    (tmp_path / "my_run.py").write_text(example)
    (tmp_path / "my_model.py").write_text(MY_MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tests_of_custom", SimpleNamespace(Tiny=Tiny))
    source = written()
    header, state = checkpoint(source)
    family = custom_family("my_run:build")
    assert family.build(header, None, device=META).width == WIDTH
    with torch.no_grad():
        model = family.build(header, state, device=CPU)
        torch.testing.assert_close(model.module(tokens), source(tokens), rtol=0, atol=0)
    keys = set(re.findall(r'^        "(\w+)": ', mapping, re.MULTILINE)) | {"loss"}
    assert keys == {field.name for field in dataclasses.fields(Description)}
    assert '"loss": loss' in with_loss  # executed in test_own_loss.py
    for module in ("my_run", "my_model"):
        sys.modules.pop(module)
