"""The learning: a feature table and labels become folds, fused models and a result."""
