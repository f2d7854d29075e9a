#!/bin/bash

# Parameters
#SBATCH --account=me
#SBATCH --array=0-2%2
#SBATCH --constraint=a100
#SBATCH --cpus-per-task=1
#SBATCH --exclusive
#SBATCH --gres=gpu:2
#SBATCH --job-name=lower-0-r1-454349e4-8e295f31
#SBATCH --mem=200M
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=FOLDER/array-%A_%a.out
#SBATCH --partition=gpu
#SBATCH --signal=B:USR2@75
#SBATCH --time=5
#SBATCH --tmp=10240M

# setup
module load cuda

# command
export SUBMITIT_EXECUTOR=slurm
exec python -P /s/runs/r/code-0/hpcurate/start.py hpcurate.worker /s/runs/r/submissions/lower-0001
