"""Documents as they are read: pages with words, figures and rules; blocks with type, place and order."""
