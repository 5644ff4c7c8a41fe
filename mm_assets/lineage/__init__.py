"""Where every row comes from, and what else goes when a record has to go."""
