#!/bin/bash
# Train on two nodes of four GPUs each: sbatch --export=ALL,PHOTOS=/data/photos deploy/slurm.sh
#SBATCH --job-name=kvgg
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -e
RUNS=${RUNS:-$SLURM_SUBMIT_DIR/runs}  # a folder that all nodes share
NAME=${NAME:-kvgg-$SLURM_JOB_ID}

if [ -e "$RUNS/$NAME/config.toml" ]; then  # the job was requeued
  set -- --resume "$RUNS/$NAME"
else
  set -- --data "$PHOTOS" --out "$RUNS" --name "$NAME" --batch-size 256 --lr 4e-4
fi
# One task per GPU. Two minutes before the time is up, each task gets SIGTERM: the run is saved.
code=0
srun --kill-on-bad-exit=1 kvgg train --processes auto "$@" || code=$?
if [ "$code" -eq 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
