#!/bin/sh
# One job as a Slurm array: each task draws a block of frames, and goes on where it was when Slurm runs it again.
#
#   sbatch --array=0-7 slurm.sh PIPELINE.toml [options of `darkframe run`]
#   darkframe merge PIPELINE.job                            # joins the blocks, or says which tasks to run again
#   SHARDS=8 sbatch --array=2,5 slurm.sh PIPELINE.toml      # tasks 2 and 5 of the eight again
#
# Run it in a directory that all nodes share. DARKFRAME names the command where it is not on the PATH.
#SBATCH --job-name=darkframe
#SBATCH --array=0-7
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log
exec "${DARKFRAME:-darkframe}" run "$@" --shard "slurm${SHARDS:+/$SHARDS}" --resume
