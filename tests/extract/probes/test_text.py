import json
import shutil

import pytest

from spectra_cli.core.errors import ProbeError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.extract.probes.source import ProbeRequest, SourceInput
from spectra_cli.extract.probes.text import JSONL, TEXT, read_jsonl_documents
from spectra_cli.extract.probes.tokenizer import load_tokenizer


def wanted(*paths, folder=None, tokenizer=None):
    request = ProbeRequest(source="", num_sequences=1, sequence_length=2, tokenizer=tokenizer)
    return SourceInput(request=request, paths=paths, vocab_size=300, checkpoint_folder=folder)


def encode(folder, text):
    return list(load_tokenizer(folder).encode([text])[0])


def test_a_text_is_one_stream(tmp_path, tokenizer_folder):
    (tmp_path / "a.txt").write_text("the cat\nsat", encoding="utf-8")
    found = TEXT.read(wanted(tmp_path / "a.txt", folder=tokenizer_folder))
    assert [file.ids.tolist() for file in found.files] == [encode(tokenizer_folder, "the cat\nsat")]
    assert found.tokenizer == str(tokenizer_folder)
    assert found.notices == ()


def test_jsonl_documents_are_joined_by_the_end_of_text(tmp_path, tokenizer_folder):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "the cat"}\n\n{"id": 1, "text": "the dög"}\r\n{"text": ""}\n', encoding="utf-8")
    found = JSONL.read(wanted(path, tokenizer=str(tokenizer_folder)))
    end = load_tokenizer(tokenizer_folder).end_of_text
    first, second = encode(tokenizer_folder, "the cat"), encode(tokenizer_folder, "the dög")
    assert found.files[0].ids.tolist() == [*first, end, *second, end]


def test_documents_without_an_end_of_text_are_announced(tmp_path, tokenizer_without_end):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "the cat"}\n{"text": "sat"}\n')
    found = JSONL.read(wanted(path, folder=tokenizer_without_end))
    words = [encode(tokenizer_without_end, text) for text in ("the cat", "sat")]
    assert found.files[0].ids.tolist() == words[0] + words[1]
    assert "no end-of-text token" in found.notices[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"not json", "line 2: not JSON"),
        (b'{"text": "\xff"}', "line 2: not JSON .*utf-8"),
        (b'{"body": "x", "id": 1}', "line 2: found fields body, id, expected .* `text`"),
        (b'{"text": 3}', "line 2: found fields text"),
        (b"[1]", "line 2: found list"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "x"}\n' + line + b"\n")
    with pytest.raises(ProbeError, match=message):
        read_jsonl_documents(tmp_path / "a.jsonl")


def test_text_that_is_not_utf8_is_refused(tmp_path, tokenizer_folder):
    (tmp_path / "a.txt").write_bytes(b"ab\xff")
    with pytest.raises(ProbeError, match=r"not UTF-8 text: .* at byte 2"):
        TEXT.read(wanted(tmp_path / "a.txt", folder=tokenizer_folder))


def another_tokenizer(folder, tokenizer_folder):
    """The same vocabulary size and tokens, two of which have changed places."""
    text = (tokenizer_folder / "tokenizer.json").read_text(encoding="utf-8")
    rules = json.loads(text)
    vocabulary = rules["model"]["vocab"]
    vocabulary["t"], vocabulary["a"] = vocabulary["a"], vocabulary["t"]
    shutil.copytree(tokenizer_folder, folder)
    (folder / "tokenizer.json").write_text(json.dumps(rules), encoding="utf-8")
    return folder


def test_a_tokenizer_other_than_the_checkpoints_is_announced(tmp_path, tokenizer_folder):
    path = tmp_path / "a.txt"
    path.write_text("t a t", encoding="utf-8")
    other = another_tokenizer(tmp_path / "other", tokenizer_folder)
    (notice,) = TEXT.read(wanted(path, folder=tokenizer_folder, tokenizer=str(other))).notices
    assert kind_of(notice) is NoticeKind.FOREIGN_TOKENIZER
    assert str(other) in notice
    assert str(tokenizer_folder) in notice
    bare = str(other / "tokenizer.json")
    (notice,) = TEXT.read(wanted(path, folder=tokenizer_folder, tokenizer=bare)).notices
    assert kind_of(notice) is NoticeKind.FOREIGN_TOKENIZER


def test_a_tokenizer_other_than_the_runs_is_announced(tmp_path, tokenizer_folder):
    path, checkpoint = tmp_path / "a.txt", tmp_path / "run" / "checkpoint-5"
    path.write_text("t a t", encoding="utf-8")
    checkpoint.mkdir(parents=True)
    shutil.copy(tokenizer_folder / "tokenizer.json", checkpoint.parent)
    other = another_tokenizer(tmp_path / "other", tokenizer_folder)
    (notice,) = TEXT.read(wanted(path, folder=checkpoint, tokenizer=str(other))).notices
    assert f"is not the checkpoint's own tokenizer, {checkpoint.parent} " in notice


def test_the_checkpoints_own_tokenizer_is_known_by_its_content(tmp_path, tokenizer_folder):
    path = tmp_path / "a.txt"
    path.write_text("the cat", encoding="utf-8")
    shutil.copytree(tokenizer_folder, tmp_path / "copy")
    rules = json.loads((tokenizer_folder / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "copy" / "tokenizer.json").write_text(json.dumps(rules, indent=3), encoding="utf-8")
    for same in (tmp_path / "copy", tmp_path / "copy" / "tokenizer.json"):
        assert TEXT.read(wanted(path, folder=tokenizer_folder, tokenizer=str(same))).notices == ()
    copy, own = load_tokenizer(tmp_path / "copy" / "tokenizer.json"), load_tokenizer(tokenizer_folder)
    assert copy.digest == load_tokenizer(tokenizer_folder / "tokenizer.json").digest
    assert own.digest == load_tokenizer(tmp_path / "copy").digest


def test_an_own_tokenizer_that_cannot_be_read_is_announced(tmp_path, tokenizer_folder):
    path, own = tmp_path / "a.txt", tmp_path / "own"
    path.write_text("the cat", encoding="utf-8")
    own.mkdir()
    (own / "tokenizer.json").write_text("{")
    (notice,) = TEXT.read(wanted(path, folder=own, tokenizer=str(tokenizer_folder))).notices
    assert "cannot be read" in notice
