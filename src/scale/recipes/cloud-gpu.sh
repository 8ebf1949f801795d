#!/bin/sh
# A sweep on one rented machine with a GPU: sh src/scale/recipes/cloud-gpu.sh user@host DIR [FLAGS]   (in the checkout)
# The machine needs Node 20.19, and the GPU's driver with its Vulkan files (libvulkan1 on Debian and Ubuntu). DIR goes there and comes back,
# also while it runs: when the machine is taken away, the next one goes on from what came back last.
set -eu
host=$1 dir=$2 flags=${3:-}
there=quantease-workbench
send() { tar -c --exclude=./node_modules --exclude=./.git --exclude='./dist*' . | ssh "$host" "mkdir -p $there && tar -x -C $there"; }
put() { tar -c -C "$dir" . | ssh "$host" "mkdir -p $there/sweep && tar -x -C $there/sweep"; }
# Locks stay where they hold.
get() { ssh "$host" "tar -c -C $there/sweep --exclude='*.lock' --exclude='*.partial' --ignore-failed-read --warning=no-file-changed . || test \$? -eq 1" | tar -x -C "$dir"; }
send
put
ssh "$host" "cd $there && node src/setup.mjs quantize sweep run sweep --all $flags > sweep.log 2>&1" &
run=$!
while kill -0 $run 2>/dev/null; do
  sleep "${EVERY:-60}"
  get || true
done
code=0
wait $run || code=$?
get
npm run --silent quantize -- sweep report "$dir"
exit $code
