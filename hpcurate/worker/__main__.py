"""`python -m hpcurate.worker <submission>`: the command of an array element."""

import os
import sys

from hpcurate.start import let_go
from hpcurate.system.processes import die_with_parent, pin
from hpcurate.worker.supervisor import main

if __name__ == "__main__":
    let_go()
    if "HPCURATE_PARENT" in os.environ:  # local launcher: no worker outlives its driver
        die_with_parent(int(os.environ["HPCURATE_PARENT"]), how=15)
    pin([int(core) for core in os.environ.get("HPCURATE_CORES", "").split(",") if core])
    sys.exit(main(sys.argv[1:]))
