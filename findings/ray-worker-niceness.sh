#!/bin/sh
# Ray 2.60.0 runs tasks at a niceness of 15, and so does every program that a task starts.
#
# Seen: a task, and a shell below it, report a niceness 15 above that of the program that called ray.init (at most 19, the
# kernel's limit). At 15 a process weighs 36 in Linux's scheduler, where one that was started by hand weighs 1024: beside other
# programs, a command on Ray gets a small part of the CPU that it gets without Ray, and times of the two cannot be compared.
# On an idle machine nothing of it is seen. RAY_worker_niceness=0, set before the node is started, turns it off.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ray==2.60.0
cat > "$folder/niceness.py" <<'PYTHON'
import os
import subprocess
import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)


@ray.remote
def task():
    return os.nice(0), int(subprocess.run(["sh", "-c", "nice"], capture_output=True, check=True).stdout)


own = os.nice(0)
print(*(min(19, value) - own for value in ray.get(task.remote())), own)
ray.shutdown()
PYTHON
run() { "$folder/venv/bin/python" "$folder/niceness.py" 2>/dev/null; }
usual=$(run)
off=$(RAY_worker_niceness=0 run)
echo "above the driver's niceness, task and its child: $usual; with RAY_worker_niceness=0: $off"
own=$(nice)
more=$((own + 15 > 19 ? 19 - own : 15))
[ "$usual" = "$more $more $own" ]
[ "$off" = "0 0 $own" ]
echo "as stated"
