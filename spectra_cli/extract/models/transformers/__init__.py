"""transformers' models, cut into sites: named layouts, fused projections, experts, anything generic."""
