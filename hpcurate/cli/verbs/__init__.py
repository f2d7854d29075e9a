"""Looking after runs. Everything is read from files; the scheduler is asked once for all ids."""
