"""Variants 7 to 19 in float64, written out from the paper's equations, pair by pair.

Twelve layers, so that the attention-free block, the reach of the value embeddings and the pattern of long
and short windows are those of the paper's d12; blocks of 8 tokens, so that windows cut inside 40.
"""

import functools
import math

import torch

L, H, C, V, T, B, EOT, BLOCK = 12, 2, 16, 61, 40, 3, 7, 8
K, E = C // H, L // 2
TOKENS, BLOCKS = 11, 4

VARIANTS = ["7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "16adj", "17", "18", "19"]
SPARSE = VARIANTS[6:]
TOYS = ["toy unet", "toy fixed_window", "toy attn_scale"]


# ------------------------------------------------------------------------------ state dicts, section 2.1


def state_of(variant, *, layers=L, seed=0, reach=3):
    """Random tensors under the names and shapes of a variant."""
    toy = variant.startswith("toy")
    number = 8 if toy else int(variant.removesuffix("adj"))
    skipped = min(layers - 1, layers // 2 + 1) if number >= 13 else None
    shapes = {"transformer.wte.weight": (V, C), "lm_head.weight": (V, C)}
    if number in (11, 12):
        shapes["transformer.vte.weight"] = (V, C * (layers if number == 11 else layers // 2))
    if number >= 13:
        shapes |= {f"value_embeds.emb.{j}.weight": (V, C) for j in range(3)}
    if number >= 8:
        shapes["skip_weights"] = (layers // 2,)
    for i in range(layers):
        block = f"transformer.h.{i}"
        if i != skipped:
            shapes |= {f"{block}.attn.c_{c}.weight": (C, C) for c in ("q", "k", "v", "proj")}
            shapes[f"{block}.attn.{'mix' if number >= 13 else 'lamb'}"] = (2,) if number >= 13 else ()
        shapes |= {f"{block}.mlp.c_fc.weight": (4 * C, C), f"{block}.mlp.c_proj.weight": (C, 4 * C)}
        shapes[f"{block}.lambdas"] = (2,)
    generator = torch.Generator().manual_seed(seed)
    state = {n: 0.3 * torch.randn(s, generator=generator) for n, s in sorted(shapes.items())}
    for name, tensor in state.items():
        if name.endswith(("lambdas", "skip_weights", "mix", "lamb")):
            tensor.add_(0.5)
        layer = int(name.split(".")[2]) if name.endswith(".mix") else None
        if layer is not None and reach <= layer < layers - reach:
            tensor[1] = 0.5
    return state


def arguments_of(variant):
    """What the file of a variant cannot say, with windows small enough for 40 tokens."""
    stated = {"n_head": H, "eot": EOT, "mask_block": BLOCK, "variant": variant}
    if variant in ("9", "10", "11", "12"):
        stated["window_tokens"] = TOKENS
    elif variant in SPARSE:
        stated["window_blocks"] = BLOCKS
    return stated


# ------------------------------------------------------------------------------------ forward, section 4


def rms(x, eps=2.0**-52):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def is_visible(variant, layer, documents, t, j):
    """The table of section 4.5."""
    if j > t:
        return False
    if variant in ("7", "8", "toy unet"):
        return True
    if variant.startswith("toy"):
        return t - j < 8
    if documents[t] != documents[j]:
        return False
    blocks_back = t // BLOCK - j // BLOCK
    if variant in ("9", "10", "11"):
        return t - j < TOKENS
    if variant == "12":
        return t - j < TOKENS and blocks_back < math.ceil(TOKENS / BLOCK)
    pattern = [i % 4 == 0 for i in range(E)]
    is_long = (pattern + pattern[::-1])[layer]
    window = BLOCKS if is_long or variant not in ("17", "18", "19") else max(1, BLOCKS // 2)
    return blocks_back < window


@functools.cache
def mask_of(variant, layer, ids):
    documents, seen = [], 0
    for token in ids:
        seen += token == EOT
        documents.append(seen)
    return torch.tensor([[is_visible(variant, layer, documents, t, j) for j in range(T)] for t in range(T)])


def turned(x, variant):
    """One head (T, K), positions 0 to T - 1."""
    out = x.clone()
    late = variant in SPARSE[1:]
    for j in range(K // 2):
        if late:
            n = K // 4
            w = 1024.0 ** (-j / (n - 1)) if j < n else 0.0
        else:
            w = 10000.0 ** (-2 * j / K)
        angle = torch.arange(T, dtype=torch.float64) * w
        a, b, sign = x[:, j], x[:, j + K // 2], -1.0 if late else 1.0
        out[:, j] = a * angle.cos() - sign * b * angle.sin()
        out[:, j + K // 2] = sign * a * angle.sin() + b * angle.cos()
    return out


def attention(u, w, variant, layer, ids, first_v, eps):
    """(T, C) -> (T, C), and this layer's own values before any mixing."""
    name = f"transformer.h.{layer}.attn"
    q, k, v = (u @ w[f"{name}.c_{c}.weight"].T for c in "qkv")
    own_v = v
    if variant in SPARSE:
        mix = w[f"{name}.mix"]
        v = mix[0] * v
        if layer < 3 or layer >= L - 3:
            table = layer if layer < 3 else layer - (L - 3)
            v = v + mix[1] * w[f"value_embeds.emb.{table}.weight"][list(ids)]
    elif variant in ("11", "12"):
        piece = layer if variant == "11" or layer < E else 2 * E - 1 - layer
        partner = w["transformer.vte.weight"][list(ids)][:, piece * C : (piece + 1) * C]
        lamb = w[f"{name}.lamb"]
        v = (1 - lamb) * v + lamb * partner
    elif layer > 0:
        lamb = w[f"{name}.lamb"]
        v = (1 - lamb) * v + lamb * first_v
    scale = 0.12 if variant in ("18", "19", "toy attn_scale") else K**-0.5
    outputs = []
    for h in range(H):
        rows = slice(h * K, (h + 1) * K)
        scores = scale * turned(rms(q[:, rows], eps), variant) @ turned(rms(k[:, rows], eps), variant).T
        scores = scores.masked_fill(~mask_of(variant, layer, ids), -math.inf)
        outputs.append(scores.softmax(-1) @ v[:, rows])
    return torch.cat(outputs, 1) @ w[f"{name}.c_proj.weight"].T, own_v


class Fp8Head(torch.autograd.Function):
    """Section 4.7; gradients are scaled by 2^-8 first, since 2^29 is meant for means over 65,536 tokens."""

    @staticmethod
    def forward(ctx, x, weight):
        x8 = (2 * x).to(torch.float8_e4m3fn).double()
        w8 = (32 * weight).to(torch.float8_e4m3fn).double()
        ctx.save_for_backward(x8, w8)
        return (x8 @ w8.T / 64).bfloat16().double()

    @staticmethod
    def backward(ctx, g):
        x8, w8 = ctx.saved_tensors
        g8 = (2.0**21 * g.bfloat16().double()).to(torch.float8_e5m2).double() * 2.0**8
        return (g8 @ w8 / (2.0**29 * 32)).bfloat16().double(), g8.T @ x8 / (2.0**29 * 2)


def epsilon(variant):
    return 1e-6 if variant == "8" else 2.0**-23


def reference_logits(w, ids, variant, eps, streams=None):
    """One sequence of ids -> (T, V); `streams` collects the residual stream after each block."""
    x = rms(w["transformer.wte.weight"][list(ids)], eps)
    x0, stack, first_v = x, [], None
    unet = variant != "7"
    for layer in range(L):
        block = f"transformer.h.{layer}"
        if unet and layer >= E:
            x = x + w["skip_weights"][layer - E] * stack.pop()
        lambdas = w[f"{block}.lambdas"]
        x = lambdas[0] * x + lambdas[1] * x0
        if f"{block}.attn.c_q.weight" in w:
            y, v = attention(rms(x, eps), w, variant, layer, ids, first_v, eps)
            x = x + y
            first_v = v if layer == 0 else first_v
        hidden = (rms(x, eps) @ w[f"{block}.mlp.c_fc.weight"].T).clamp(min=0) ** 2
        x = x + hidden @ w[f"{block}.mlp.c_proj.weight"].T
        if streams is not None:
            streams.append(x)
        if unet and layer < E:
            stack.append(x)
    x, head = rms(x, eps), w["lm_head.weight"]
    z = Fp8Head.apply(x, head) if variant in SPARSE[3:] else x @ head.T
    if variant == "19":
        return 2 * 15 * torch.sigmoid(z / (0.5 * 15 * math.sqrt(C)))
    cap = 15.0 if variant in SPARSE[2:] else 30.0
    return cap * torch.tanh(z / cap)
