"""The process that runs a stage, in the stage's own environment: Python 3.9 or newer, attrs and msgspec."""
