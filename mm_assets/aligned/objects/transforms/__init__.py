"""Transforms that move image, boxes, words and orientation together."""
