"""Whether the text of a segment goes with what is heard and shown in it."""
