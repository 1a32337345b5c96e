#!/usr/bin/env bash
# Called by the harness as `build_task.sh ./submission`, in its root: builds slotwise, makes the plans of the four sizes, and puts an
# executable for each stage into submission/build.
set -euo pipefail
build=$(mkdir -p "$1/build" && cd "$1/build" && pwd)
project=$(cd "$(dirname "$(readlink -f "$1/stages.py")")/../../.." && pwd)
cargo build --release --locked --manifest-path "$project/Cargo.toml"
PYTHONPATH="$project/bench/fhe-benchmarking/submission" python3 - "$build" <<'PYTHON'
import sys
from pathlib import Path

import stages

build, root = Path(sys.argv[1]), Path.cwd()
for samples in stages.batch_sizes(root):
    if not stages.plan_file(build, samples).exists():
        stages.make_plan(build, samples)
for stage in stages.STAGES:
    executable = build / stage
    executable.write_text(f'#!/bin/sh\nexec python3 "{stages.HERE}/stages.py" {stage} "$@"\n')
    executable.chmod(0o755)
PYTHON
