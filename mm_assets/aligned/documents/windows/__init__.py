"""Windows: a document as a model reads it, text and pictures interleaved inside a budget of tokens."""
