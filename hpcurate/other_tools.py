"""Words of other tools, and ours for the same thing. docs/coming-from.md has them as tables. Pure; Python 3.9."""

from __future__ import annotations

KEYS = {
    # submitit
    "timeout_min": "stages.NAME.resources.time=60m (m: minutes, h: hours)",
    "mem_gb": "stages.NAME.resources.memory=32GB",
    "slurm_mem": "stages.NAME.resources.memory=32GB",
    "slurm_mem_per_gpu": "stages.NAME.resources.memory=32GB, of one stage process",
    "cpus_per_task": "stages.NAME.resources.cpus=8",
    "slurm_cpus_per_gpu": "stages.NAME.resources.cpus=8, of one stage process",
    "gpus_per_node": "stages.NAME.resources.gpus=1, of one stage process",
    "slurm_gpus_per_node": "stages.NAME.resources.gpus=1, of one stage process",
    "slurm_gpus_per_task": "stages.NAME.resources.gpus=1, of one stage process",
    "tasks_per_node": "stages.NAME.processes=4, stage processes of one worker",
    "slurm_ntasks_per_node": "stages.NAME.processes=4, stage processes of one worker",
    "slurm_array_parallelism": "stages.NAME.workers=16",
    "array_parallelism": "stages.NAME.workers=16",
    "slurm_time": "stages.NAME.resources.time=60m (m: minutes, h: hours)",
    "slurm_setup": "the site profile's setup: [module load cuda]",
    "slurm_max_num_timeout": "stages.NAME.max_time=12h; a stage that does not finish is submitted again by itself",
    "slurm_additional_parameters": "stages.NAME.sbatch.OPTION=VALUE for each of them",
    "slurm_signal_delay_s": "nothing: workers leave in time by themselves",
    "slurm_srun_args": "nothing: workers are not started by srun",
    "slurm_job_name": "name=NAME, of the run",
    # Cosmos-Curate, NeMo Curator
    "num_workers": "stages.NAME.workers=16",
    "num_workers_per_node": "stages.NAME.workers_per_node=4, each worker on a node of its own",
    "stage_batch_size": "stages.NAME.batch_size=16",
    "num_gpus": "stages.NAME.resources.gpus=1",
    "entire_gpu": "stages.NAME.resources.gpus=1",
    "num_cpus": "stages.NAME.resources.cpus=8",
    "gpu_memory_gb": "stages.NAME.resources.gpus=0.25, a share of a GPU",
    "conda_env_name": "stages.NAME.env=NAME, a file of envs/",
    "pixi_env": "stages.NAME.env=pixi:FOLDER:ENVIRONMENT",
    "num_run_attempts_python": "stages.NAME.tries=3",
    "num_setup_attempts_python": "nothing: a stage that cannot be set up is tried on another node by itself",
    "input_video_path": "input=FOLDER",
    "input_s3_profile_name": "nothing: inputs are files",
    "output_clip_path": "output=FOLDER",
    "limit_clips": "limit=n, of inputs",
    # datatrove, Snakemake, Nextflow
    "mem_per_cpu_gb": "stages.NAME.resources.memory=32GB, of one stage process",
    "logging_dir": "store=FOLDER: logs lie in the run's folder",
    "skip_completed": "nothing: what is done is never done again",
    "randomize_start_duration": "nothing: workers claim shards from different ends",
    "max_array_size": "nothing: long arrays are split by themselves",
    "mail_user": "the site profile's mail: ADDRESS",
    "mem_mb": "stages.NAME.resources.memory=32GB",
    "threads": "stages.NAME.resources.cpus=8",
    "runtime": "stages.NAME.resources.time=60m (m: minutes, h: hours)",
    "restart_times": "stages.NAME.attempts=5",
    "retries": "stages.NAME.tries=3",
    "max_retries": "stages.NAME.tries=3",
    "maxforks": "stages.NAME.workers=16",
    "queue": "stages.NAME.sbatch.partition=NAME",
    "executor": "launcher=slurm",
    "workdir": "store=FOLDER",
    "publishdir": "output=FOLDER",
}
"""Key of a configuration → what is typed here."""
METHODS = {
    "process_data": "process(self, tasks)",
    "process_batch": "process(self, tasks)",
    "stage_setup": "setup(self, worker)",
    "stage_setup_on_node": "setup_on_node(self, node)",
    "destroy": "teardown(self)",
    "__call__": "process(self, tasks)",
}
"""Method of a stage → ours."""


def ours(key: str) -> str:
    """What is typed here for a key of another tool; empty if it is none. `slurm_X` is an option of sbatch."""
    word = key.lower().replace("-", "_")
    if word in KEYS:
        return KEYS[word]
    if word.startswith("slurm_"):
        return f"stages.NAME.sbatch.{word[len('slurm_') :].replace('_', '-')}=VALUE"
    return ""


def methods_of(cls: type) -> str:
    """`process_data is process(self, tasks) here, …` for methods of another tool that a class has; empty if none."""
    found = [name for name in METHODS if any(name in vars(base) for base in cls.__mro__[:-1])]
    return ", ".join(f"{name} is {METHODS[name]} here" for name in found)
