"""Making models: data, augmentation, loss, training, scores. Never imported by a run."""
