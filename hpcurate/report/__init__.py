"""What there is to say about a run, as values that verbs and pages render."""
