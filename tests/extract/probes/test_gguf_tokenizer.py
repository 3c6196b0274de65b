from functools import partial

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from spectra_cli.core.errors import CheckpointError, ProbeError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.extract.checkpoints.gguf import header as gguf_header
from spectra_cli.extract.probes.source import ProbeRequest, SourceInput
from spectra_cli.extract.probes.text import TEXT
from spectra_cli.extract.probes.tokenizer import find_tokenizer, load_tokenizer
from tests.extract.writers.gguf import add_tokenizer, make_llama, write_llama

TEXTS = ["the cat sat", "on 1234 logs, dög\n\n <|endoftext|> it's"]


@pytest.fixture
def reference(tokenizer_folder):
    return Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))


def written(path, tokenizer, **settings):
    write_llama(make_llama(), path, describe=partial(add_tokenizer, tokenizer=tokenizer, **settings))
    return path


def ids(tokenizer, texts=TEXTS):
    return [list(found) for found in tokenizer.encode(texts)]


def test_its_ids_are_those_of_the_tokenizer_it_was_written_from(tmp_path, tokenizer_folder, reference):
    found = load_tokenizer(written(tmp_path / "m.gguf", reference))
    theirs = load_tokenizer(tokenizer_folder)
    assert ids(found) == ids(theirs)
    assert (found.end_of_text, found.notices) == (theirs.end_of_text, ())


@pytest.mark.parametrize("pre", ["smollm", "starcoder"])
def test_digits_that_stand_alone(tmp_path, reference, pre):
    merged = [("1", "2"), ("12", "3"), ("Ġ", "1")]
    model = {**reference.get_vocab(with_added_tokens=False)}
    for pair in merged:
        model.setdefault("".join(pair), len(model) + 1)
    own = Tokenizer.from_str(reference.to_str())
    own.model = type(own.model)(vocab=model, merges=merged)
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    texts = ["a 123 b", "12"]
    expected = [own.encode(text, add_special_tokens=False).ids for text in texts]
    assert len(expected[1]) == 2
    assert ids(load_tokenizer(written(tmp_path / "m.gguf", own, pre=pre)), texts) == expected


@pytest.mark.parametrize(("pre", "word"), [(None, "missing"), ("default", "default")])
def test_a_file_that_does_not_say_how_it_cuts(tmp_path, reference, pre, word):
    (said,) = load_tokenizer(written(tmp_path / "m.gguf", reference, pre=pre)).notices
    assert f"(tokenizer.ggml.pre is {word}): it is cut as for GPT-2" in said


def test_a_way_of_cutting_that_is_not_known_is_refused(tmp_path, reference):
    with pytest.raises(ProbeError, match=r"m\.gguf: its tokenizer cuts .* as 'nosuch' .*--tokenizer"):
        load_tokenizer(written(tmp_path / "m.gguf", reference, pre="nosuch"))


def test_the_file_comes_before_what_lies_beside_it(tmp_path, tokenizer_folder, reference):
    path = written(tmp_path / "m.gguf", reference)
    (tmp_path / "tokenizer.json").write_text((tokenizer_folder / "tokenizer.json").read_text())
    assert find_tokenizer(named=None, checkpoint_folder=path) == path
    write_llama(make_llama(), path)
    assert find_tokenizer(named=None, checkpoint_folder=path) == tmp_path
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ProbeError, match=r"and .*m\.gguf has no tokenizer\.ggml\.tokens; name one with"):
        find_tokenizer(named=None, checkpoint_folder=path)
    with pytest.raises(ProbeError, match=r"m\.gguf brings no tokenizer: .*--tokenizer"):
        load_tokenizer(path)


def test_the_size_of_the_weights_does_not_matter_and_that_of_the_vocabulary_does(
    tmp_path, reference, monkeypatch
):
    path = written(tmp_path / "m.gguf", reference)
    monkeypatch.setattr("spectra_cli.extract.probes.tokenizer.MOST_BYTES", 1000)
    assert ids(load_tokenizer(path))
    monkeypatch.setattr(gguf_header, "MOST_BYTES", 1000)
    with pytest.raises(CheckpointError, match=r"m\.gguf: its tokenizer"):
        load_tokenizer(path)


def test_another_tokenizer_than_its_own_is_a_notice(tmp_path, tokenizer_folder, reference):
    letters = Tokenizer.from_str(reference.to_str())
    letters.model = type(reference.model)(vocab=reference.get_vocab(), merges=[("a", "t")])
    path = written(tmp_path / "m.gguf", letters)
    (tmp_path / "a.txt").write_text("the cat sat")
    request = ProbeRequest(source="", num_sequences=1, sequence_length=2, tokenizer=str(tokenizer_folder))
    wanted = SourceInput(request=request, paths=(tmp_path / "a.txt",), vocab_size=300, checkpoint_folder=path)
    (said,) = TEXT.read(wanted).notices
    assert kind_of(said) is NoticeKind.FOREIGN_TOKENIZER
    written(path, reference)
    assert TEXT.read(wanted).notices == ()
