"""What captions claim, held against what the pictures show and against one another."""
