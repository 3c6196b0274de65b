"""nanoGPT and the early variants (3, 4, 6) in float64, written out from the equations, head by head."""

import math

import torch
from torch import Tensor

from tests.extract.writers.huggingface import VOCAB

EPS = 2.0**-23
NUM_HEADS = 4


def _blocks(num_layers: int, width: int, *, fused: bool, mlp: int) -> dict[str, tuple[int, ...]]:
    """Block tensors of these decoders, written out."""
    attention = {"c_attn": (3 * width, width)} if fused else {f"c_{c}": (width, width) for c in "qkv"}
    shapes = {f"attn.{n}.weight": s for n, s in attention.items()}
    shapes |= {"attn.c_proj.weight": (width, width)}
    shapes |= {"mlp.c_fc.weight": (mlp * width, width), "mlp.c_proj.weight": (width, mlp * width)}
    return {f"transformer.h.{i}.{n}": s for i in range(num_layers) for n, s in shapes.items()}


def random_state(variant: str, *, num_layers: int = 2, width: int = 32, seed: int = 0) -> dict[str, Tensor]:
    """Tensors under the names and shapes of one variant: 3, 4, 4s, 6, nanoGPT (n; nb: biases)."""
    shapes: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (VOCAB, width)}
    fused = variant in ("3", "n", "nb")
    if fused:
        shapes["transformer.wpe.weight"] = (16, width)
    shapes |= _blocks(num_layers, width, fused=fused, mlp=4)
    blocks = [f"transformer.h.{i}" for i in range(num_layers)]
    if variant == "4":
        shapes |= {f"{b}.attn.c_proj.bias": (width,) for b in blocks}
    if variant in ("n", "nb"):
        shapes |= {f"{p}.weight": (width,) for b in blocks for p in (f"{b}.ln_1", f"{b}.ln_2")}
        shapes["transformer.ln_f.weight"] = (width,)
    if variant == "nb":
        # every map but the head, and every norm, has a bias as long as its outputs
        outputs = {n: s for n, s in shapes.items() if ".h." in n or "ln_f" in n}
        shapes |= {n.replace(".weight", ".bias"): s[:1] for n, s in outputs.items()}
    generator = torch.Generator().manual_seed(seed)
    tensors = {n: 0.3 * torch.randn(s, generator=generator) for n, s in sorted(shapes.items())}
    own_head = 0.3 * torch.randn(VOCAB, width, generator=generator)
    tensors["lm_head.weight"] = own_head if variant == "6" else tensors["transformer.wte.weight"]
    return tensors


def rms(x, eps=EPS):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def layer_norm(x, w, name):
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return normed * w[f"{name}.weight"] + w.get(f"{name}.bias", 0.0)


def turn(x, *, sign, rounding):
    """One head (T, K): x_j + i x_{j+K/2} at position t, times exp(i t 10000^(-2j/K))."""
    a, b = x.chunk(2, dim=1)
    frequencies = torch.tensor([10000.0 ** (-2 * j / x.shape[1]) for j in range(a.shape[1])], dtype=x.dtype)
    angles = torch.arange(len(x))[:, None] * frequencies
    phase = torch.complex(rounding(angles.cos()), sign * rounding(angles.sin()))
    turned = torch.complex(a, b) * phase
    return torch.cat((turned.real, turned.imag), 1)


def attention(u, w, name, variant):
    """(T, D) -> (T, D)."""
    width, length = u.shape[1], u.shape[0]
    if f"{name}.c_attn.weight" in w:
        rows = (u @ w[f"{name}.c_attn.weight"].T + w.get(f"{name}.c_attn.bias", 0.0)).split(width, dim=1)
    else:
        rows = [u @ w[f"{name}.c_{c}.weight"].T for c in "qkv"]
    size, heads = width // NUM_HEADS, []
    for h in range(NUM_HEADS):
        q, k, v = (r[:, h * size : (h + 1) * size] for r in rows)
        if variant in ("4", "4s", "6"):
            q, k = (
                turn(
                    rms(x),
                    sign=-1 if variant == "4" else 1,
                    rounding=(lambda c: c.bfloat16().double()) if variant == "4" else (lambda c: c),
                )
                for x in (q, k)
            )
        scores = q @ k.T / math.sqrt(size)
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        heads.append(scores.softmax(-1) @ v)
    return torch.cat(heads, 1) @ w[f"{name}.c_proj.weight"].T + w.get(f"{name}.c_proj.bias", 0.0)


def reference(w, tokens, variant, streams=None):
    """Logits (T, V) of one sequence (T,); `streams` collects the residual stream after each block."""
    layered = variant in ("n", "nb")

    def norm(x, name):
        return layer_norm(x, w, name) if layered else rms(x)

    x = w["transformer.wte.weight"][tokens]
    if "transformer.wpe.weight" in w:
        x = x + w["transformer.wpe.weight"][: len(tokens)]
    if variant == "6":
        x = rms(x)
    for layer in range(2):
        block = f"transformer.h.{layer}"
        x = x + attention(norm(x, f"{block}.ln_1"), w, f"{block}.attn", variant)
        hidden = norm(x, f"{block}.ln_2") @ w[f"{block}.mlp.c_fc.weight"].T + w.get(
            f"{block}.mlp.c_fc.bias", 0.0
        )
        hidden = (
            0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2))) if layered else hidden.clamp(min=0) ** 2
        )
        x = x + hidden @ w[f"{block}.mlp.c_proj.weight"].T + w.get(f"{block}.mlp.c_proj.bias", 0.0)
        if streams is not None:
            streams.append(x)
    return norm(x, "transformer.ln_f") @ w["lm_head.weight"].T


def spelled_out(state):
    """Weights as float64 leaves, one for a tied pair."""
    leaves = {n: t.double().requires_grad_() for n, t in state.items()}
    if torch.equal(state["lm_head.weight"], state["transformer.wte.weight"]):
        leaves["lm_head.weight"] = leaves["transformer.wte.weight"]
    return leaves
