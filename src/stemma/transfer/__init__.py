"""Carries a pre-trained run over to a task, frozen or fine-tuned: one file a task."""
