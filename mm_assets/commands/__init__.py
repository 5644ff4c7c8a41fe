"""What the ``mm`` command does, one module per command."""
