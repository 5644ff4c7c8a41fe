"""One file per trigger."""
