"""Pure statistics of spectra: exponents, ranks, edges, noise. numpy and scipy only."""
