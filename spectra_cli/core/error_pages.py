"""A page for each family of errors: what it means, and what to do. `spectra explain CODE` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """What is to be known of one family of errors.

    Attributes:
        title: in a few words; meaning: what was found, and why it is refused.
        remedies: what to do, the likeliest first.
    """

    title: str
    meaning: str
    remedies: tuple[str, ...]


# code, as the classes of errors.py have it -> its page, in the order in which a user meets them
PAGES: Mapping[str, ErrorPage] = {
    "unknown-name": ErrorPage(
        title="A word is none of those that are known there",
        meaning=(
            "A command, an option, a statistic, a setting, a column or another name was not found. The "
            "message has the nearest names, if any is near, and most often all of them."
        ),
        remedies=(
            "Take the name that the message proposes.",
            "`spectra COMMAND --help` lists the options of a command and what each may be.",
            "`spectra --install-completion` lets the shell complete names.",
        ),
    ),
    "wrong-request": ErrorPage(
        title="The request cannot mean anything",
        meaning=(
            "Options contradict each other, one is missing, a value is out of bounds, or a file that an "
            "option names cannot be read as what it must be."
        ),
        remedies=(
            (
                "The message names the option and what it expects; `spectra COMMAND --help` has examples "
                "that work."
            ),
            "In a run file or run.toml, the message names the file and the key.",
        ),
    ),
    "not-held": ErrorPage(
        title="A step, layer, matrix or measurement is not there",
        meaning="What was asked for is not in this archive or this model. The message lists what is.",
        remedies=(
            "Ask for something that is there; `spectra show ARCHIVE` prints it.",
            (
                "What was not measured needs another scan, with --layers, --matrices, --measure or "
                "--vectors. Layers, matrices and measurements are settings: give the scan an archive of its "
                "own with -o."
            ),
        ),
    ),
    "already-there": ErrorPage(
        title="What would be written is there already",
        meaning="Nothing is replaced unasked. What is there is untouched.",
        remedies=(
            "Name another place with -o.",
            "--overwrite replaces it.",
            "A scan goes on where it stopped if it is given without --no-resume.",
        ),
    ),
    "missing-extra": ErrorPage(
        title="A package is not installed",
        meaning=(
            "Pictures, some formats of checkpoints and some of exports need a package that the plain "
            "installation does not bring."
        ),
        remedies=(
            "Install the extra that the message names, such as `pip install 'llm-spectra[plot]'`.",
            "Without it: `spectra show --plot` draws in the terminal, and CSV and JSON need no package.",
        ),
    ),
    "no-checkpoint": ErrorPage(
        title="Nothing there is a checkpoint",
        meaning=(
            "The path does not exist, or holds no file of a known format. Other folders of it are not "
            "searched deeper than one run has them."
        ),
        remedies=(
            "Give the folder that holds the checkpoints themselves, or one checkpoint.",
            (
                "docs/reference/formats.md has every format; some need to be converted first, and the "
                "message says how."
            ),
            (
                "A name such as org/name is one of the Hugging Face hub: a path with ./ before it is always "
                "local."
            ),
        ),
    ),
    "broken-checkpoint": ErrorPage(
        title="A checkpoint is damaged, incomplete or inconsistent",
        meaning=(
            "A file is truncated, a shard is missing, a size does not fit, or the file changed while it was "
            "read. No number was made from it."
        ),
        remedies=(
            "Copy, download or save it again; a save that is still being written needs time.",
            "`--on-error skip` leaves such checkpoints out of the scan and says which.",
            "--steps, --every, --last and --limit choose the others.",
            (
                "Where the reason is a configuration, code or the model itself, "
                "`spectra explain contradiction`, `own-code` or `unfit-model` say more."
            ),
        ),
    ),
    "unsafe-pickle": ErrorPage(
        title="A pickle needs more than harmless types",
        meaning=(
            "A .pt, .pth or .bin file can run any code when it is opened. Types outside an allow-list are "
            "refused by name, and nothing of the file was run."
        ),
        remedies=(
            "Save the weights as safetensors, where they come from.",
            (
                "Save a state dict alone, without the objects of the training: "
                "`torch.save(model.state_dict(), ...)`."
            ),
        ),
    ),
    "contradiction": ErrorPage(
        title="Configuration and tensors are of different models",
        meaning=(
            "config.json, a run file or --set states sizes that the stored tensors contradict, or tensors "
            "are missing. A model built so would hold random weights, and its numbers would be of no model."
        ),
        remedies=(
            "Put the configuration of this checkpoint beside it.",
            (
                "State what no tensor shows with `--set model.KEY=VALUE`; `spectra inspect` prints what was "
                "taken from where."
            ),
            "If tensors are missing: copy or save the checkpoint again.",
        ),
    ),
    "unfit-model": ErrorPage(
        title="The model cannot be measured",
        meaning=(
            "No family of models reads this checkpoint, its weights are quantised, or gradients seen "
            "through the hooks differ from those of autograd, so that a number would be wrong."
        ),
        remedies=(
            "Quantised weights: save the model dequantised first.",
            (
                "An architecture that is not known: `--model package.module:function` builds it "
                "(docs/how-to/scan-your-own-model.md)."
            ),
            "One measurement that cannot be had: leave it out with --measure.",
        ),
    ),
    "own-code": ErrorPage(
        title="Code of the user's, or of the checkpoint's, failed",
        meaning=(
            "A builder given with --model, or code that a checkpoint brings, raised an error or returned "
            "something else than is expected. The message has its file and line."
        ),
        remedies=(
            (
                "Correct the function; docs/how-to/scan-your-own-model.md says what it is given and must "
                "return."
            ),
            (
                "Code that a checkpoint brings runs only with --trust-remote-code, and may need another "
                "version of transformers."
            ),
        ),
    ),
    "unfit-probe": ErrorPage(
        title="The probe does not serve",
        meaning="It has too few tokens, ids outside the vocabulary, no tokenizer, or an unknown format.",
        remedies=(
            "Ids outside the vocabulary: make the tokens with the model's own tokenizer.",
            "Too few tokens: fewer or shorter sequences with --sequences and -T, or a larger file.",
            "docs/how-to/choose-a-probe.md has the formats, and how much a probe must hold.",
        ),
    ),
    "too-little-memory": ErrorPage(
        title="There is too little memory",
        meaning=(
            "The smallest plan needs more than the budget, or memory ran out in spite of the plan. The "
            "message has both numbers."
        ),
        remedies=(
            "Give more with --memory, if the machine has it, or end other programs.",
            "Measure less at once: --layers, --measure, shorter sequences with -T.",
            "`spectra inspect` says what a scan will take, before it starts.",
        ),
    ),
    "no-archive": ErrorPage(
        title="There is no archive",
        meaning=(
            "Neither the path nor the name of a checkpoint folder leads to an archive. The message lists "
            "the places that were looked at."
        ),
        remedies=(
            "Make one: `spectra scan CKPT_DIR --probe FILE`.",
            "Give the path of the .spectra.h5 file, if it lies elsewhere.",
        ),
    ),
    "broken-archive": ErrorPage(
        title="An archive is damaged or incomplete",
        meaning="A digest, a size or the structure of the file is not what was written. Nothing was read.",
        remedies=(
            "Restore it from a copy; `spectra validate ARCHIVE` says what is wrong.",
            (
                "Scan again: finished parts beside the archive are kept, and only what is damaged is "
                "measured anew."
            ),
        ),
    ),
    "newer-format": ErrorPage(
        title="An archive is of a newer version",
        meaning="It was written in a format that this version does not know. Older formats are always read.",
        remedies=("Update: `pip install -U llm-spectra`.",),
    ),
    "being-written": ErrorPage(
        title="Another process writes the archive",
        meaning=(
            "A scan of this run is going on, or was ended without a trace, or files kept changing while "
            "they were read."
        ),
        remedies=(
            "Wait until the scan rests.",
            "If no scan runs any more, remove the file that the message names.",
        ),
    ),
    "other-run": ErrorPage(
        title="An archive is of another run, or of another scan",
        meaning=(
            "Numbers of different runs, probes or settings are never mixed in one archive. The message says "
            "what differs."
        ),
        remedies=(
            "Give the scan an archive of its own with -o.",
            "Scan with the settings and the probe that the archive was made with.",
            "--overwrite replaces the archive.",
        ),
    ),
    "not-comparable": ErrorPage(
        title="Runs were not measured alike",
        meaning=(
            "Another probe, precision or setting changes the numbers by itself, so that a difference would "
            "say nothing of the runs."
        ),
        remedies=(
            "Scan one of them again as the other was; the message has both values.",
            (
                "Compare all the same, flagged: `spectra compare --allow NAMES`, `spectra forecast "
                "--allow-different-scans`."
            ),
        ),
    ),
    "not-enough": ErrorPage(
        title="The data is not enough for the question",
        meaning=(
            "An archive lacks what the command reads: a measurement, a loss, steps or tokens, a second "
            "checkpoint, a stretch of training that the runs share."
        ),
        remedies=(
            "Scan with the measurement that the message names, or more checkpoints.",
            (
                "Losses and tokens come from logs: --log FILE or a run.toml "
                "(docs/how-to/training-metadata.md)."
            ),
            "Align by something that every run has: `--align step`, `--align tokens`.",
        ),
    ),
    "cannot-write": ErrorPage(
        title="A file or stdout does not take what is written",
        meaning=(
            "The disk is full, the folder is not writable, or a limit was reached. Files that were there "
            "before are untouched, and no half of a file is left under its name."
        ),
        remedies=(
            "Free space, or name another place with -o.",
            "A scan goes on where it stopped when the same command runs again.",
        ),
    ),
}
