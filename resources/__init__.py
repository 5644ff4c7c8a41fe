"""Handles on the outside world: storage, models, ledgers."""
