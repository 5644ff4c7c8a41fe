"""Fusion samples: placeholders, packing, the linter and the training reader."""
