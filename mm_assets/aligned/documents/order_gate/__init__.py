"""The order gate: whether pages, columns, figures and captions of documents stand in the order they were written in."""
