#!/bin/bash
# A sweep as a Slurm array, in the checkout that all nodes see: sbatch --array=0-99%8 src/scale/recipes/slurm-array.sh DIR [FLAGS]
#SBATCH --job-name=quantease
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --time=4:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%A_%a.log
# Before its time is over, or another job takes its place, a task hears of it: what is solved is kept, and it goes on when it is queued again.
#SBATCH --signal=B:TERM@120
# Not by npm, which would end before the engine does.
node src/setup.mjs quantize sweep run "$1" --index "$SLURM_ARRAY_TASK_ID" "${@:2}" > /dev/null &
trap 'kill -TERM $!' TERM
wait $!
code=$?
# The first wait ends with the signal, the second with the job.
[ $code -gt 128 ] && { wait $!; code=$?; }
# 75: try again; above 128: it died of a signal, as for want of memory.
if { [ $code -eq 75 ] || [ $code -gt 128 ]; } && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit $code
