import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXT = "the cat sat on the mat and the dog sat on the log. "
END = "<|endoftext|>"


def train_bpe(*, special_tokens: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special_tokens, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    return tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=train_bpe(special_tokens=[END]), eos_token=END).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def tokenizer_without_end(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no_end")
    PreTrainedTokenizerFast(tokenizer_object=train_bpe(special_tokens=[])).save_pretrained(folder)
    return folder
