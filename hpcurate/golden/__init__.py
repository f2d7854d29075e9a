"""What a stage gave for some tasks, kept and compared: `hpcurate replay`, and `check_golden` in tests of stages.

Runs in every stage environment: Python 3.9 or newer, attrs and the standard library only.
"""
