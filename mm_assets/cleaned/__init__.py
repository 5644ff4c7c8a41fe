"""Single-modality cleaning: decode checks, rules, repair, near-duplicates."""
