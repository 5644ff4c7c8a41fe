"""The offset gate: are cues, speech, sound and pictures of a batch on one clock, and do they belong together?"""
