"""What a killed process leaves."""

import subprocess
import sys
from pathlib import Path


def of_a_dead_process(target: Path) -> Path:
    """Begin to write a file in a process that ends at once, and return the temporary path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    code = f"""
import os
from pathlib import Path
from ferlib import paths
with paths.written_atomically(Path({str(target)!r})) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    left = Path(done.stdout.strip())
    assert done.returncode == 9 and left.is_file() and not target.exists()
    return left
