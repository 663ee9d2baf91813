"""The KFP contract of each pipeline step: one file a step, named as the step."""
