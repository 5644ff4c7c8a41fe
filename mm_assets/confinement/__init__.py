"""Processes of their own for files that may crash, hang or starve whoever reads them."""
