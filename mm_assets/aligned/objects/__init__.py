"""Object level: boxes anchored to words, their faults found, named and undone."""
