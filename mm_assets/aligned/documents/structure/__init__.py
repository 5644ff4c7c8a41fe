"""Structure of documents: blocks from pages, captions bound to figures and tables, references resolved."""
