"""Vendor files and folders of TIFF become one plan, and the plan becomes one plate.

`planning.plan_import` looks at names and headers only and finds everything that is missing, doubled or broken;
`writing.run_import` then reads the pixels, a shard at a time.
"""

from assay.io.importers.planning import plan_import
from assay.io.importers.plans import FieldPlan, ImportPlan
from assay.io.importers.writing import recorded_conditions, run_import

__all__ = ["FieldPlan", "ImportPlan", "plan_import", "recorded_conditions", "run_import"]
