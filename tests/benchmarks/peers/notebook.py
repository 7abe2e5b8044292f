"""A notebook: one process, a folder of JPEGs, one model after another. python notebook.py WORK OUT"""

import json
import sys
from pathlib import Path

from _fit import fit_folders, folders
from floor import NETWORKS

work, out = Path(sys.argv[1]), Path(sys.argv[2])
data = folders(work)
out.write_text(json.dumps({name: fit_folders(name, data) for name in NETWORKS}))
