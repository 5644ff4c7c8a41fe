"""Boxes anchored to the phrases of captions that name them."""
