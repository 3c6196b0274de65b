"""Commands of one checkout, run in one process; a program by itself, which imports nothing of this folder.

`PYTHONPATH=CHECKOUT python benchmarks/recorded.py CHECKOUT COMMANDS.json ANSWERS.json`: COMMANDS holds
name -> the arguments of `spectra`; ANSWERS gets name -> exit code and what was printed.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import spectra_cli
from spectra_cli.__main__ import main


def answer_of(arguments: list[str]) -> dict[str, object]:
    """Exit code, what was printed, and the end of what was said on standard error."""
    printed, said = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    sys.argv = ["spectra", *arguments]
    code: object = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    texts = [stream.buffer.getvalue().decode() for stream in (printed, said)]
    return {"code": code, "printed": texts[0], "said": texts[1].strip()[-500:]}


if __name__ == "__main__":
    checkout, commands, answers = sys.argv[1:]
    if not Path(spectra_cli.__file__).is_relative_to(Path(checkout).resolve()):
        raise SystemExit(f"spectra_cli is {spectra_cli.__file__}, expected that of {checkout}")
    asked = json.loads(Path(commands).read_text())
    found = {name: answer_of(arguments) for name, arguments in asked.items()}
    Path(answers).write_text(json.dumps(found))
