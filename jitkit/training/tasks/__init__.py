"""Training tasks: denoising, and distillation from a teacher."""
