"""The tables of a series that is to be scanned: its checkpoints, its model, the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spectra_cli.core.notices import gathered_by_checkpoint
from spectra_cli.core.types import MODEL_FACT
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.numbers import count, duration, loss, rate, size
from spectra_cli.core.words.plurals import counted
from spectra_cli.render.table import Line, Part, Table, key, line, number, words


def series(checkpoints: Sequence[Mapping[str, Any]]) -> Table:
    """One row a checkpoint, in the order of the scan, and below what is noted of it; metadata that no
    checkpoint has is left out.
    """
    columns: dict[str, list[str]] = {
        "parameters": [count(row["num_parameters"]) for row in checkpoints],
        "size": [size(row["num_bytes"]) for row in checkpoints],
        "tokens": [count(row["tokens_seen"]) for row in checkpoints],
        "train loss": [loss(row["train_loss"]) for row in checkpoints],
        "eval loss": [loss(row["eval_loss"]) for row in checkpoints],
        "tokens\na step": [count(row["batch_size_tokens"]) for row in checkpoints],
        "learning\nrate": [rate(row["learning_rate"]) for row in checkpoints],
    }
    always = ("parameters", "size", "tokens", "train loss", "eval loss")
    shown = {name: cells for name, cells in columns.items() if name in always or set(cells) - {"-"}}
    return Table(
        title="Checkpoints",
        columns=[key("checkpoint"), *map(number, shown)],
        rows=[[row["key"], *cells] for row, *cells in zip(checkpoints, *shown.values(), strict=True)],
        row_styles={place: "yellow" for place, row in enumerate(checkpoints) if row["problem"]},
        notes=list(_own_notices(checkpoints)),
    )


def _own_notices(checkpoints: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    of_all = shared_notices(checkpoints)
    readable = [row for row in checkpoints if not row["problem"]]
    own = [(row["key"], notice) for row in readable for notice in row["notices"] if notice not in of_all]
    for noted in gathered_by_checkpoint(own):
        yield line(noted)
    for row in checkpoints:
        if row["problem"]:
            yield line(f"{row['key']} cannot be scanned: {row['problem']}", style="yellow")


def shared_notices(checkpoints: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is noted about every checkpoint that can be scanned, if these are several."""
    rows = [row["notices"] for row in checkpoints if not row["problem"]]
    return tuple(n for n in rows[0] if all(n in row for row in rows)) if len(rows) > 1 else ()


def findings(document: Mapping[str, Any]) -> Iterator[Line]:
    """What holds for every checkpoint, where the metadata comes from, what the user says of the run, what is
    odd about the series.
    """
    rows = document["checkpoints"]
    for notice in shared_notices(rows):
        yield line(f"every checkpoint: {notice}", style="yellow")
    sources: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, source in row["sources"].items():
            if row.get(name) is not None or name.startswith("config."):
                sources.setdefault(name, {})[source] = None
    if sources:
        told = (f"{name} from {listed(found, 2)}" for name, found in sources.items())
        yield line("; ".join(told), style="dim")
    of_run = (
        (name, text) for row in rows for name, text in row["facts"].items() if not name.startswith(MODEL_FACT)
    )
    for fact in dict.fromkeys(f"{name}: {text}" for name, text in of_run):
        yield line(fact)
    yield from _model_facts(rows)
    known = {f"{row['key']} cannot be read: {row['problem']}" for row in rows}
    for notice in document["series_notices"]:
        if notice not in known:
            yield line(notice, style="yellow")


def _model_facts(rows: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """What the model's numbers depend on, one line for all that say the same; all values of a series."""
    said: dict[str, dict[str, dict[str, None]]] = {}
    for row in rows:
        for name, text in row["facts"].items():
            if name.startswith(MODEL_FACT):
                facts = said.setdefault(row["sources"][name], {})
                facts.setdefault(name.removeprefix(MODEL_FACT), {})[text] = None
    sources: dict[str, list[str]] = {}
    for source, facts in said.items():
        told = ", ".join(_fact(name, " then ".join(values)) for name, values in facts.items())
        sources.setdefault(told, []).append(source)
    for told, alike in sources.items():
        yield line(f"model: {told}: by {listed(alike, 2)}")


def _fact(name: str, values: str) -> str:
    """A name and its values; once where these begin with it (`variant 6`)."""
    return values if values.startswith(f"{name} ") else f"{name} {values}"


def model(document: Mapping[str, Any]) -> Iterator[Part]:
    """The architecture, and its matrices: one row a kind of matrix, since layers are alike."""
    yield line(
        (document["run"], "bold"),
        f"  {document['format']} checkpoints of {document['architecture']} (family {document['family']}): "
        f"{counted(document['num_layers'], 'layer')}, width {document['width']}, vocabulary "
        f"{document['vocab_size']}",
    )
    for notice in document["notices"]:
        yield line(notice, style="yellow")
    yield Table(
        title="Matrices",
        columns=[key("matrix"), *map(words, ("fan_out x fan_in", "layers", "name in the checkpoint"))],
        rows=[[row["component"], row["shape"], row["layers"], row["name"]] for row in document["matrices"]],
    )


def plan(document: Mapping[str, Any]) -> Iterator[Part]:
    """Passes, time and memory of one checkpoint's scan."""
    found = document["plan"]
    if found["problem"]:
        yield line(f"no plan: {found['problem']}", style="yellow")
        return
    passes, sequences = len(found["passes"]), found["sequences_to_run"]
    of_length = f" of {found['sequence_length']} tokens" if sequences else ""
    yield line("")
    yield line(
        f"Plan for each checkpoint on {found['device']}: {counted(passes, 'pass', 'passes')}, "
        f"{counted(sequences, 'sequence')}{of_length} in batches of {found['batch_size']}; "
        f"{counted(len(found['sites']), 'residual-stream site')}; "
        f"gradients of {counted(sum(map(len, found['passes'])), 'matrix', 'matrices')}"
    )
    yield from _time(document)
    parts = ", ".join(f"{name} {size(count_)}" for name, count_ in found["memory_bytes"].items() if count_)
    peak = sum(found["memory_bytes"].values())
    yield line(f"Estimated peak memory {size(peak)} of a budget of {size(found['budget_bytes'])}: {parts}")
    yield from _proposals(found["proposals"])


def _time(document: Mapping[str, Any]) -> Iterator[Line]:
    """How long, of what, and what that rests on."""
    found = document["plan"]
    seconds, operations = found["seconds_estimated"], found["operations"]
    number = sum(not row["problem"] for row in document["checkpoints"])
    for_all = f", {duration(number * seconds)} for all {number}" if number > 1 else ""
    yield line(
        f"About {duration(seconds)} a checkpoint{for_all} if nothing else runs: "
        f"{_shares(found['seconds_by_part'])}. From samples of this work, timed here just now; start-up "
        "is not counted"
    )
    total = sum(operations.values())
    if total:
        yield line(f"{count(int(total))} floating-point operations of matrix products: {_shares(operations)}")


def _proposals(proposals: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """What to add to the command, and what that gives."""
    if proposals:
        yield line("")
        yield line("Less, by adding to the command:", style="bold")
    for proposal in proposals:
        yield line(
            f"In {proposal['bound']}: {proposal['options']} (about {duration(proposal['seconds'])}) gives "
            f"{proposal['resolves']}"
        )


def _shares(parts: Mapping[str, float]) -> str:
    """Parts in percent of their sum, the largest first; what rounds to nothing is left out."""
    total = sum(parts.values())
    largest_first = sorted(parts.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{name.replace('_', ' ')} {100 * part / total:.0f} %"
        for name, part in largest_first
        if part >= 0.005 * total
    )
