"""One stage of a run once more, on the rows that it was given there, compared with what the run has committed."""
