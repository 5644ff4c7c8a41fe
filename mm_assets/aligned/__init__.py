"""Alignment at three levels: objects in pictures, segments of sound and video, blocks of documents."""
