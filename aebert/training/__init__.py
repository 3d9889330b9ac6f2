"""Fine-tuning and distillation with transformers' Trainer."""
