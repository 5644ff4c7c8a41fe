"""Hard negatives: five strategies, every negative with its edit and its verdict."""
