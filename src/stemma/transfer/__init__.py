"""Carries a pre-trained run over to a task, frozen or fine-tuned; the tasks stand in `tasks`."""
