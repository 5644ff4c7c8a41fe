"""Segment level: sound, video, subtitles and speech on one clock."""
