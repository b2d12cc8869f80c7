#!/usr/bin/env bash
# Two machines of eight GPUs each under SLURM; --output must lie on a disk that both share:
#   sbatch launch/slurm.sh --model ein --dataset /data/pairs --output /data/runs/ein
# One launcher runs on each machine. SLURM sends SIGTERM two minutes before the time is up: the run then leaves a
# checkpoint, and the same line with --resume latest goes on from it.
#SBATCH --job-name=hdrgan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

gpus=${SLURM_GPUS_ON_NODE:-1}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
main=${hosts%%$'\n'*}
export MAIN_IP=$main PROCESSES=$((SLURM_NNODES * gpus))

srun bash -c 'exec accelerate launch \
  --config_file launch/machines.yaml \
  --num_machines "$SLURM_NNODES" --num_processes "$PROCESSES" \
  --machine_rank "$SLURM_NODEID" --main_process_ip "$MAIN_IP" \
  train_accelerate.py --resume latest "$@"' train "$@"
