#!/usr/bin/env bash
# Every model of models/, encrypted: one image soonest, then the whole test set. The reports go to target/models/ as JSON.
# usage: bench/models.sh [MODEL...]     without the ending, for example: bench/models.sh mnist-mlp-relu
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet --bin slotwise
mkdir -p target/models
if [ $# -eq 0 ]; then
  for file in models/*.onnx; do set -- "$@" "$(basename "$file" .onnx)"; done
fi
for model in "$@"; do
  case $model in
    fashion-*) test=fashion-t10k calibration=fashion ;;
    *) test=t10k calibration=mnist ;;
  esac
  for run in "latency --samples 1" "throughput"; do
    # shellcheck disable=SC2086  # two words
    set -- $run
    echo "== $model, $run"
    # One that fails must not keep the others from running.
    target/release/slotwise run "models/$model.onnx" --objective "$@" \
      --data "models/data/$test-images-idx3-ubyte.gz" --labels "models/data/$test-labels-idx1-ubyte.gz" \
      --calibration "models/data/$calibration-calibration-idx3-ubyte.gz" --json "target/models/$model-$1.json" || failed=yes
  done
done
[ -z "${failed:-}" ]
