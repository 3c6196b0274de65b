"""The columns of exported tables, and the coordinates of exported arrays: the one table of both."""

from __future__ import annotations

from spectra_cli.render.tidy import OF_CHECKPOINT, OF_PLACE, OF_STATISTIC, TidyColumn

_LOSS = "nats per token"

ARCHIVE = TidyColumn(
    name="archive", kind=str, meaning="name of the archive, as short as it can be and still differ"
)
PROBE_LOSS = TidyColumn(
    name="probe_loss", kind=float, meaning="measured by the scan on its probe", unit=_LOSS
)
_WRITTEN = "as the training stack wrote it at this step"
OF_TRAINING = (
    TidyColumn(name="train_loss", kind=float, meaning=_WRITTEN, unit=_LOSS, at="info.train_loss"),
    TidyColumn(name="eval_loss", kind=float, meaning=_WRITTEN, unit=_LOSS, at="info.eval_loss"),
    TidyColumn(
        name="batch_size_tokens",
        kind=int,
        meaning="of one optimiser step",
        unit="tokens",
        at="info.batch_size_tokens",
    ),
    TidyColumn(name="learning_rate", kind=float, meaning="of this step", at="info.learning_rate"),
)
OF_SERIES = (ARCHIVE, *OF_CHECKPOINT, PROBE_LOSS, *OF_TRAINING)
OF_SPECTRUM = (
    TidyColumn(name="num_samples", kind=int, meaning="rows that the spectrum is made of"),
    TidyColumn(name="ambient_dim", kind=int, meaning="dimension of the space that the rows live in"),
    TidyColumn(name="centered", kind=int, meaning="1: the mean row was subtracted first; 0: it was not"),
    TidyColumn(name="zero_threshold", kind=float, meaning="values at or below it are numerically zero"),
)
OF_VALUE = (
    TidyColumn(name="kind", kind=str, meaning="`eigenvalue` or `singular_value`; empty where nothing is"),
    TidyColumn(name="rank", kind=int, meaning="place in descending order, from 1"),
    TidyColumn(name="value", kind=float, meaning="missing where the site was not measured"),
    TidyColumn(
        name="stderr",
        kind=float,
        meaning="standard error of value, a jackknife over blocks of the probe; missing without blocks",
    ),
    TidyColumn(name="unit", kind=str, meaning="of value, stderr and zero_threshold"),
    TidyColumn(name="status", kind=str, meaning="`ok`, or why the site was not measured"),
    TidyColumn(name="reason", kind=str, meaning="a sentence beside every status but `ok`"),
)

STATISTICS = (*OF_SERIES, *OF_PLACE, *OF_STATISTIC)
"""A row a checkpoint, site and statistic."""
SPECTRA = (*OF_SERIES, *OF_PLACE, *OF_VALUE, *OF_SPECTRUM)
"""A row a checkpoint, site and rank."""
