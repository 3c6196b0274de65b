"""Llama under torchtitan's names, in float64 from Meta's equations."""

import torch
from torch.nn import functional

HEADS, KV_HEADS, HEAD_DIM, WIDTH, THETA, EPS = 4, 2, 8, 24, 5000.0, 1e-6
PARAMETERS = {"n_heads": HEADS, "rope_theta": THETA, "norm_eps": EPS}


def tensors(*, tied: bool = False) -> dict[str, torch.Tensor]:
    shapes = {"tok_embeddings.weight": (32, WIDTH), "norm.weight": (WIDTH,), "output.weight": (32, WIDTH)}
    for layer in range(2):
        shapes |= {
            f"layers.{layer}.{name}.weight": shape
            for name, shape in {
                "attention.wq": (HEADS * HEAD_DIM, WIDTH),
                "attention.wk": (KV_HEADS * HEAD_DIM, WIDTH),
                "attention.wv": (KV_HEADS * HEAD_DIM, WIDTH),
                "attention.wo": (WIDTH, HEADS * HEAD_DIM),
                "feed_forward.w1": (40, WIDTH),
                "feed_forward.w2": (WIDTH, 40),
                "feed_forward.w3": (40, WIDTH),
                "attention_norm": (WIDTH,),
                "ffn_norm": (WIDTH,),
            }.items()
        }
    if tied:
        del shapes["output.weight"]
    generator = torch.Generator().manual_seed(0)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def reference(state, tokens, streams=None):
    """Meta's Llama from its equations: neighbouring pairs of a head are complex numbers that rotate.

    (B, T) -> (B, T, V); `streams` collects the residual stream after each block.
    """
    state = {name: tensor.double() for name, tensor in state.items()}
    length = tokens.shape[1]
    angles = torch.outer(
        torch.arange(length, dtype=torch.float64),
        THETA ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM),
    )
    turns = torch.polar(torch.ones_like(angles), angles)[None, :, None]

    def rotated(x):
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(-2)

    def norm(x, name):
        return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * state[f"{name}.weight"]

    x = state["tok_embeddings.weight"][tokens]
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    for layer in range(2):
        at = f"layers.{layer}"
        u = norm(x, f"{at}.attention_norm")
        q, k, v = (
            (u @ state[f"{at}.attention.w{letter}.weight"].T).unflatten(-1, (-1, HEAD_DIM))
            for letter in "qkv"
        )
        q, k = rotated(q), rotated(k)
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, 2) for t in (k, v))
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / HEAD_DIM**0.5
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        y = torch.einsum("bhij,bjhd->bihd", weights, v).flatten(-2)
        x = x + y @ state[f"{at}.attention.wo.weight"].T
        u = norm(x, f"{at}.ffn_norm")
        gate, up = (u @ state[f"{at}.feed_forward.w{number}.weight"].T for number in (1, 3))
        x = x + (functional.silu(gate) * up) @ state[f"{at}.feed_forward.w2.weight"].T
        if streams is not None:
            streams.append(x)
    head = state.get("output.weight", state["tok_embeddings.weight"])
    return norm(x, "norm") @ head.T


def in_transformers(name):
    """What transformers calls one of the tensors."""
    parts = {
        "tok_embeddings.": "model.embed_tokens.",
        "output.": "lm_head.",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attention.w": "self_attn.",
        "feed_forward.w1": "mlp.gate_proj",
        "feed_forward.w2": "mlp.down_proj",
        "feed_forward.w3": "mlp.up_proj",
    }
    own = name
    for part, other in parts.items():
        name = name.replace(part, other)
    if "attention.w" in own:
        name = name.removesuffix(".weight") + "_proj.weight"
    return name if name.startswith("lm_head") else f"model.{name.removeprefix('model.')}"
