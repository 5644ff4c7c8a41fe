"""Sound and moving pictures: what is in a file, its samples and frames on one clock, its subtitles."""
