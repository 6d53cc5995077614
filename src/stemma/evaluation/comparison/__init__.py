"""The main job: what is compared, stage by stage, process by process."""
