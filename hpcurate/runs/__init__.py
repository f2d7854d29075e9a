"""One run: its folder, its start, looking, deciding, moving on. (`hpcurate.run` is the function, hence `runs`.)"""
