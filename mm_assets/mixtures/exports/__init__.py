"""Releases in the formats that training tools load: one module per format, none of which needs the tool itself."""
