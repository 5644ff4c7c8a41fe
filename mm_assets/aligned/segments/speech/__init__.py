"""Speech to text with times, voices and prosody."""
