"""Releases: which samples are drawn, and the package they leave in."""
