"""Mixtures of experts as transformers saves them: logits, sites, gradients against the writer's model."""

import dataclasses
import functools

import pytest
import torch
from torch import nn

from spectra_cli.core.types import Site
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.measurements.gradient_store import DenseGradients, FactoredGradients
from spectra_cli.extract.measurements.measurement import Batch
from spectra_cli.extract.models.registry import FAMILIES, find_family
from spectra_cli.extract.models.transformers.moe import MIXTURE
from spectra_cli.extract.passes.losses import sequence_losses
from spectra_cli.extract.passes.taps import Clock, tapped_gradients
from tests.extract.writers.huggingface import random_model
from tests.extract.writers.mixtures import BASE, CONFIGS, EXPERTS, INNER, VOCAB, WIDTH, of_writer

CPU = torch.device("cpu")
# Not known by name, and found by their marks.
UNKNOWN = {"granitemoe": {**BASE, "num_local_experts": EXPERTS}}
NAMED = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """The writer's model, and ours from the folder that `save_pretrained` left."""

    @functools.cache
    def saved(model_type):
        # far from flat routing too, and with experts that differ
        writers = random_model({"model_type": model_type, **(CONFIGS | UNKNOWN)[model_type]}, spread=0.3)
        folder = tmp_path_factory.mktemp(model_type) / "step5"
        writers.save_pretrained(folder)
        source = find_source(str(folder))
        (ref,) = source.refs()
        header = source.header(ref)
        return writers, header, source.open(ref)

    def case(model_type):
        writers, header, state = saved(model_type)
        return writers, find_family(header).build(header, dict(state), device=CPU)

    setattr(case, "header", lambda model_type: saved(model_type)[1])  # noqa: B010 - a function has no such field
    return case


def test_the_family_is_found_by_model_type(header_of):
    assert set(CONFIGS) == MIXTURE.model_types
    for model_type in CONFIGS:
        assert find_family(header_of({"model_type": model_type}, {}, format="huggingface")) is MIXTURE
    assert FAMILIES["moe"] is MIXTURE


def test_a_mixture_that_no_family_names_has_the_same_sites(case):
    _, unknown = case("granitemoe")
    _, known = case("mixtral")
    assert not unknown.recognised
    assert [(v.site, v.shape, v.kind) for v in unknown.matrices] == [
        (v.site, v.shape, v.kind) for v in known.matrices
    ]


@pytest.mark.parametrize("model_type", [*CONFIGS, *UNKNOWN])
def test_logits_are_the_writers(case, model_type):
    writers, model = case(model_type)
    tokens = torch.randint(VOCAB, (3, 9), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = writers(tokens).logits
        for found in (model.module(tokens).logits, model.head(model.trunk(tokens))):
            assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("model_type", NAMED)
def test_every_expert_is_a_site(case, model_type):
    writers, model = case(model_type)
    shapes = {v.site.component: v.shape for v in model.matrices if v.site.layer == 1}
    expected = {
        "attn.q": (16, 16),
        "attn.k": (8, 16),
        "attn.v": (8, 16),
        "attn.o": (16, 16),
        "mlp.router": (EXPERTS, WIDTH),
    }
    if model_type == "qwen2_moe":
        shared = {"gate": (20, WIDTH), "up": (20, WIDTH), "down": (WIDTH, 20), "router": (1, WIDTH)}
        expected |= {f"shared.{name}": shape for name, shape in shared.items()}
    for expert in range(EXPERTS):
        expected |= {f"experts.{expert}.{part}": (INNER, WIDTH) for part in ("gate", "up")}
        expected[f"experts.{expert}.down"] = (WIDTH, INNER)
    assert shapes == expected
    assert [v.site.address for v in model.matrices] == [
        Site.parse(v.site.address).address for v in model.matrices
    ]
    assert model.notices == ()
    covered = sum(v.shape[0] * v.shape[1] for v in model.matrices)
    assert covered == sum(p.numel() for p in writers.parameters() if p.ndim > 1)


def test_a_dense_layer_among_mixtures_keeps_its_mlp_and_the_others_say_where_it_went(case):
    _, model = case("qwen2_moe")
    dense = [v.site.component for v in model.matrices if v.site.layer == 0]
    assert dense == ["attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down"]
    assert "mixture of experts" in model.absent[Site(layer=1, component="mlp.down")]
    assert not any(site.layer == 0 for site in model.absent)


def test_attention_through_a_latent_keeps_its_own_names(case):
    _, model = case("deepseek_v3")
    components = [v.site.component for v in model.matrices if v.site.layer == 1]
    assert {"attn.o", "self_attn.kv_b_proj", "self_attn.q_b_proj", "shared.down"} < set(components)
    assert "latent" in model.absent[Site(layer=1, component="attn.k")]


@pytest.mark.parametrize("model_type", [*CONFIGS, *UNKNOWN])
def test_weights_are_the_writers(case, model_type):
    writers, model = case(model_type)
    for view in model.matrices:
        assert torch.equal(view.weight(), of_writer(dict(writers.named_parameters()), view.site)), view.site


class Stores:
    """A gradient observer over stores of either kind."""

    def __init__(self, model, num, length, kind):
        self.views = tuple(v for v in model.matrices if v.site.layer is not None)
        self.stores = {
            v: DenseGradients(num, v.shape, dtype=torch.float32, arena=Arena(CPU))
            if kind == "dense"
            else FactoredGradients(num, length, v.shape, dtype=torch.float32, arena=Arena(CPU))
            for v in self.views
        }

    def observe(self, view, inputs, delta, batch, counts=None):
        self.stores[view].add(batch.start, inputs, delta, counts)


def tapped(model, probe, observer, batch_size):
    num, length = probe.tokens.shape
    clock = Clock()
    with tapped_gradients(model, observer, clock), torch.enable_grad():
        for start in range(0, num, batch_size):
            stop = min(start + batch_size, num)
            tokens = probe.tokens[start:stop]
            clock.batch = Batch(start=start, stop=stop, length=length, tokens=tokens)
            targets = probe.targets[start:stop]
            sequence_losses(model.head, model.trunk(tokens), targets, model.vocab_size, clock)


def one_at_a_time(writers, probe):
    """Parameter name -> gradients (N, ...), by the writer's model and plain autograd."""
    named = {name: p for name, p in writers.named_parameters() if p.requires_grad}
    stacks = {name: [] for name in named}
    for tokens, targets in zip(probe.tokens, probe.targets, strict=True):
        loss = nn.functional.cross_entropy(writers(tokens[None]).logits[0], targets, ignore_index=-100)
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        for (name, parameter), gradient in zip(named.items(), found, strict=True):
            stacks[name].append(torch.zeros_like(parameter) if gradient is None else gradient)
    return {name: torch.stack(rows) for name, rows in stacks.items()}


@pytest.fixture(scope="module")
def truth_of(case, probe):
    """Gradients of the module's probe by the writer's model of a type."""
    return functools.cache(lambda model_type: one_at_a_time(case(model_type)[0], probe))


@pytest.fixture(scope="module")
def probe(make_probe):
    # sequences so short that most experts are missed by some
    return make_probe(6, 3, vocab=VOCAB)


@pytest.mark.parametrize("kind", ["dense", "factored"])
@pytest.mark.parametrize("model_type", [*CONFIGS, *UNKNOWN])
def test_gradients_of_every_matrix_are_autograds(case, probe, truth_of, model_type, kind):
    _, model = case(model_type)
    observer = Stores(model, 6, 3, kind)
    tapped(model, probe, observer, batch_size=4)
    truth = truth_of(model_type)
    missed = 0
    for view, store in observer.stores.items():
        expected = torch.stack(
            [of_writer({n: g[i] for n, g in truth.items()}, view.site) for i in range(6)]
        ).double()
        scale = expected.abs().max()
        if kind == "dense":
            # float32 passes in another order: a few 1e-7 of the largest entry a layer
            assert (store.rows() - expected).abs().max() <= 2e-5 * scale, view.site.address
        gram = expected.flatten(1) @ expected.flatten(1).T
        assert (store.gram() - gram).abs().max() <= 4e-5 * gram.abs().max(), view.site.address
        if view.expert is not None:
            unseen = expected.flatten(1).abs().amax(1) == 0
            missed += int(unseen.sum())
            assert not store.gram()[unseen].any()
    assert missed > 0


def test_a_sequence_without_a_token_for_an_expert_has_a_zero_row(case, probe):
    """Routing read from the router's own output: no token, exactly zero; a token, not zero."""
    _, model = case("olmoe")
    chosen = []
    router = model.blocks[1].mlp.gate
    hook = router.register_forward_hook(lambda _m, _a, out: chosen.append(out[2]))
    with torch.no_grad():
        model.trunk(probe.tokens)
    hook.remove()
    observer = Stores(model, 6, 3, "dense")
    tapped(model, probe, observer, batch_size=6)
    reached = torch.zeros(6, EXPERTS, dtype=torch.bool)
    reached[torch.arange(6).repeat_interleave(3 * 2), chosen[0].flatten()] = True
    assert 0 < int(reached.sum()) < reached.numel()
    for view, store in observer.stores.items():
        if view.expert is not None and view.site.layer == 1:
            assert torch.equal(store.rows().flatten(1).any(1), reached[:, view.expert])


@pytest.mark.parametrize("component", ["mlp.router", "experts.2.down", "experts.2.gate", "shared.up"])
def test_a_matrix_measured_alone_is_the_lowest_of_the_backward_pass(case, probe, truth_of, component):
    """Nothing below asks for a gradient, so that the tapped output itself has to."""
    _, model = case("qwen2_moe")
    observer = Stores(model, 6, 3, "dense")
    view = next(v for v in observer.views if v.site.address == f"blocks.1.{component}")
    observer.views = (view,)
    tapped(model, probe, observer, batch_size=6)
    truth = truth_of("qwen2_moe")
    expected = torch.stack([of_writer({n: g[i] for n, g in truth.items()}, view.site) for i in range(6)])
    found = observer.stores[view].rows()
    assert expected.any()
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("budget", ["all at once", "one matrix a pass"])
def test_a_scan_measures_experts_like_any_matrix(
    case, make_probe, scan, spectra_of, settings_for, dtype, budget
):
    """Weight and gradient spectra of one expert against those of the writer's parameters."""
    from spectra_cli.extract.planning.plan import plan_scan

    writers, model = case("mixtral")
    probe = make_probe(8, 5, vocab=VOCAB)
    words = ("experts.3.*", "mlp.router")
    settings = settings_for(probe, matrices=words, dtype=dtype, measurements=("gradient", "weight"))
    changes = {"matrices": words, "dtype": dtype, "measurements": ("gradient", "weight")}
    plan = plan_scan(model, settings, device=CPU, budget_bytes=2**40)
    if budget == "one matrix a pass":
        one = [dataclasses.replace(plan.passes[0], members=(m,)) for m in plan.passes[0].members]
        plan = dataclasses.replace(plan, passes=tuple(one))
    assert [m.address for step in plan.passes for m in step.members] == [
        f"blocks.{layer}.{component}"
        for layer in (0, 1)
        for component in ("mlp.router", "experts.3.gate", "experts.3.up", "experts.3.down")
    ]
    measured = scan(model, probe, edit_plan=lambda _: plan, **changes)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        # rounding may send a token to another expert: the reference rounds as the scan does
        truth = one_at_a_time(writers, probe)
    # bfloat16 products: 2^-8 each, a few deep; float32: rounding
    tolerance = 0.05 if dtype == "bfloat16" else 1e-4
    views = {v.site.address: v for v in model.matrices}
    for address, spectrum in spectra_of(measured, "gradient_matrix").items():
        rows = torch.stack(
            [of_writer({n: g[i] for n, g in truth.items()}, views[address].site) for i in range(8)]
        )
        expected = torch.linalg.svdvals(rows.double().flatten(1))
        assert spectrum.ambient_dim == rows[0].numel()
        found = torch.from_numpy(spectrum.values.copy())
        assert (found - expected[: len(found)]).abs().max() <= tolerance * expected[0], address
    weights = spectra_of(measured, "weight")
    assert list(weights) == [m.address for step in plan.passes for m in step.members]
    for address, spectrum in weights.items():
        own = of_writer(dict(writers.named_parameters()), views[address].site).detach().double()
        expected = torch.linalg.svdvals(own)
        torch.testing.assert_close(torch.from_numpy(spectrum.values.copy()), expected, rtol=1e-6, atol=1e-12)


def test_an_expert_that_no_token_reaches_has_zero_spectra(case, make_probe, scan, spectra_of):
    _, model = case("mixtral")
    probe = make_probe(2, 2, vocab=VOCAB)
    measured = scan(model, probe, matrices=("experts.*.up",), measurements=("gradient",), num_blocks=2)
    spectra = spectra_of(measured, "gradient_matrix")
    assert len(spectra) == 2 * EXPERTS
    # 4 tokens, 2 experts each: with 6 experts and these seeds some get none and some do
    zero = [not s.values.any() for s in spectra.values()]
    assert 0 < sum(zero) < len(zero)


def test_the_skeleton_has_the_same_sites(case):
    _, model = case("qwen3_moe")
    skeleton = MIXTURE.build(case.header("qwen3_moe"), None, device=torch.device("meta"))
    assert [(v.site.address, v.site.name, v.shape) for v in skeleton.matrices] == [
        (v.site.address, v.site.name, v.shape) for v in model.matrices
    ]


def test_cost_and_memory_count_the_experts_that_a_token_reaches(case, make_probe, settings_for):
    from spectra_cli.extract.planning.cost import scan_cost
    from spectra_cli.extract.planning.plan import plan_scan

    _, model = case("mixtral")
    probe = make_probe(8, 5, vocab=VOCAB)
    settings = settings_for(probe, matrices=("attn.o",))
    everywhere = dataclasses.replace(
        model, matrices=tuple(dataclasses.replace(v, share=1.0) for v in model.matrices)
    )
    plans = [plan_scan(m, settings, device=CPU, budget_bytes=2**40) for m in (model, everywhere)]
    routed, dense = (scan_cost(m, settings, p) for m, p in zip((model, everywhere), plans, strict=True))
    # two layers, three matrices an expert, a multiply-add is two operations; 40 tokens
    unreached = 2 * 3 * (EXPERTS - 2) * INNER * WIDTH * 2
    assert dense.passes["forward"] - routed.passes["forward"] == 40 * unreached
    features = 2 * (EXPERTS - 2) * ((2 * INNER + WIDTH) + (WIDTH + INNER))
    activations = [p.memory_bytes["activations"] / p.batch_size for p in plans]
    # float32, twice for what backward keeps besides
    assert activations[1] - activations[0] == 5 * features * 4 * 2
