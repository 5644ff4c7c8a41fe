"""Embeddings, spatial features, the codebook and its codes."""
