"""Adapters as PEFT trains and saves them."""

import warnings

import peft
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def bare_llama(*, tied=False, **changes):
    sizes = {
        "vocab_size": 40,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 16,
        "tie_word_embeddings": tied,
        "attention_bias": True,
    }
    return LlamaForCausalLM(LlamaConfig(**(sizes | changes)))


def bare_gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=16))


def randomise(model):
    """Every trainable parameter drawn anew, so that no B is zero; magnitudes stay near the base's norms."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
            if "magnitude" in name:
                parameter.mul_(1 + 0.1 * noise)
            else:
                parameter.copy_(0.3 * noise)


def adapt(build, config, base, folder):
    """Save a base model and an adapter over it; the adapted model, not merged."""
    torch.manual_seed(0)
    model = build()
    model.save_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own: tied weights, Conv1D, saved embeddings
        adapted = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        randomise(adapted)
        adapted.save_pretrained(folder)
    return adapted.eval()


def lora(**settings):
    return peft.LoraConfig(
        **({"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "down_proj"]} | settings)
    )
