"""Any class with `infer(request) → result` as a stage: what it takes, and what comes of what it returns.

Runs in every stage environment: Python 3.9 or newer, attrs, msgspec and the standard library only.
"""
