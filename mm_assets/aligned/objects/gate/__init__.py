"""The object gate: region recall, hypotheses of what went wrong, the rows it hit."""
