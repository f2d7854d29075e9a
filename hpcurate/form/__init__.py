"""`hpcurate form PIPELINE`: a page on which runs of one pipeline are started and watched."""
