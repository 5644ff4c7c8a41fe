"""Boxes: conventions, readings, corrections and where they lie."""
