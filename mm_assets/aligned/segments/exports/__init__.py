"""Transcripts and alignments in the formats that players and scoring tools read."""
