"""Verifiable cross-modal training data as a Dagster asset graph."""
