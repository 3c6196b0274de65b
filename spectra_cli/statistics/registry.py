"""Every statistic, in the order of display. A new one is a file, a line here, and a test."""

from __future__ import annotations

from spectra_cli.statistics import alpha_req, bulk_edge, density_exponent, exponents, norms, ranks
from spectra_cli.statistics.noise_scale import GRADIENT_NOISE_SCALE
from spectra_cli.statistics.statistic import Definition, Statistic

STATISTICS: dict[str, Statistic] = {
    "head_exponent_1_10": exponents.HEAD_EXPONENT_1_10,
    "head_exponent_2_10": exponents.HEAD_EXPONENT_2_10,
    "tail_exponent_30_150": exponents.TAIL_EXPONENT_30_150,
    "tail_exponent_50_200": exponents.TAIL_EXPONENT_50_200,
    "tail_exponent_scaled": exponents.TAIL_EXPONENT_SCALED,
    "tail_exponent_sample_scaled": exponents.TAIL_EXPONENT_SAMPLE_SCALED,
    "alpha_req_11_100": alpha_req.ALPHA_REQ_11_100,
    "n_eff_over_d": exponents.N_EFF_OVER_D,
    "rankme_cov": ranks.RANKME_COV,
    "rankme_sv": ranks.RANKME_SV,
    "participation_ratio": ranks.PARTICIPATION_RATIO,
    "stable_rank": ranks.STABLE_RANK,
    "top1_share": ranks.TOP1_SHARE,
    "top10_share": ranks.TOP10_SHARE,
    "top50_share": ranks.TOP50_SHARE,
    "rank_90": ranks.RANK_90,
    "rank_99": ranks.RANK_99,
    "spectral_entropy_normalized": ranks.SPECTRAL_ENTROPY_NORMALIZED,
    "frobenius_norm": norms.FROBENIUS_NORM,
    "spectral_norm": norms.SPECTRAL_NORM,
    "condition": norms.CONDITION,
    "num_outliers": bulk_edge.NUM_OUTLIERS,
    "mp_softrank": bulk_edge.MP_SOFTRANK,
    "density_exponent": density_exponent.DENSITY_EXPONENT,
}

DEFINITIONS: dict[str, Definition] = {**STATISTICS, GRADIENT_NOISE_SCALE.name: GRADIENT_NOISE_SCALE}
