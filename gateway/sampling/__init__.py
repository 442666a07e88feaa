"""The sampler: bottles, who asked for them, and what drives it."""
