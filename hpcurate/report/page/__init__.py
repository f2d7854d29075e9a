"""`hpcurate report`: one HTML page of a run, with everything that it shows inside."""
