"""`python -m ferlib` is the ferlib command."""

import sys

from ferlib.cli import main

sys.exit(main())
