"""Vendor files and folders of TIFF become one plan, and the plan becomes one plate.

`planning.plan_import` looks at names and headers only and finds everything that is missing, doubled or broken;
`writing.run_import` then reads the pixels, a shard at a time; `recorded.recorded_conditions` tells what the plate was
told of its wells. Each is imported by itself, so that a refusal loads no writer.
"""
