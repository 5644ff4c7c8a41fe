"""Orientation: declared, burned in, and claimed in words."""
